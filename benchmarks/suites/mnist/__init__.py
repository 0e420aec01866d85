"""Small classifiers of images."""
