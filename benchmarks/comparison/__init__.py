"""Optimizers compared on tasks: baselines, cells and costs, what is read off them, and the report."""
