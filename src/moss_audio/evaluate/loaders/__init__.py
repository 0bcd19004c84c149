"""Published test sets in their official layouts, a file each. Every loader takes the folder of
the set and gives a `Dataset`; a missing file or field raises DataError with one line."""
