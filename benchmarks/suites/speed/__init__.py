"""Time and memory of updates and of meta-training."""
