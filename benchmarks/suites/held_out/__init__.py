"""Functions that training held out."""
