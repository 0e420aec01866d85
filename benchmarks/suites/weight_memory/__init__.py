"""A weight memory beside other learning algorithms."""
