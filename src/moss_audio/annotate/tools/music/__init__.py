"""The music branch's tools. What they share of a segment is in `features.py`."""
