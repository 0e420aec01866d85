"""Deep networks, from an external memory to a picture's pixels, as problems of optimizers."""
