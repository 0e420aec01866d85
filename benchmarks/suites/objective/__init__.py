"""The meta-objective."""
