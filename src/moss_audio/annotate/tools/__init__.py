"""Tools of the data engine: each file wraps one way of listening (`annotate.tool`)."""
