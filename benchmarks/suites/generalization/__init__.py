"""Default optimizers on tasks of many kinds, beside tuned and untuned controls."""
