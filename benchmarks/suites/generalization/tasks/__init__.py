"""The tasks of the suite, a kind a file, and what they are made of."""
