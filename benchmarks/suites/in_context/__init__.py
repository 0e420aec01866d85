"""Function learners: which network learns which functions."""
