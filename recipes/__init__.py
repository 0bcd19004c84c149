"""Data sets that are made once, with the package: `python -m recipes.NAME` from a clone's root."""
