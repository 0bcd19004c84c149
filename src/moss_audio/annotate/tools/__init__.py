"""Tools of the data engine: each file wraps one way of listening (`annotate.tool`). A folder for
each branch; here is what several branches use."""
