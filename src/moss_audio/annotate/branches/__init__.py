"""The branches of annotation: speech, music, general. Each is a list of tools (`annotate.tool`)."""
