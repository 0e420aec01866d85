"""The two ways in which real data can be missing."""


class DataNotPreparedError(RuntimeError):
    """A data set was asked for that has not been prepared in the directory that was searched."""


class DataSourceError(RuntimeError):
    """A data set cannot be prepared: its source files are missing, corrupted or out of reach."""
