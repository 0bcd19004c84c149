"""The music branch's tools, a file each. What they share of a segment is in `features.py`."""
