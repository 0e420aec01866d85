"""Weight memories: an LSTM whose cells hold the weights of another network."""
