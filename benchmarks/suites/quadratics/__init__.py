"""Random quadratics."""
