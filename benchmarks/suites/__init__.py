"""The suites: one package each, found by its name, with a `SUITE` in its `suite.py`."""
