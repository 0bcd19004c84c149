"""Readers of test sets: published ones in their official layouts (multiple choice in one file, the
others in a file each), lists of one's own, and composed scenes. Each takes the folder of the set
and gives a `Dataset`; a missing file or field raises DataError with one line."""
