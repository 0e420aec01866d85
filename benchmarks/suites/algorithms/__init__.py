"""A Differentiable Neural Computer on algorithmic tasks."""
