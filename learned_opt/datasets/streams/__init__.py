"""Data that is read from the disk while a network trains: sources of samples, and batches by grain."""
