"""The estimators of the meta-gradient."""
