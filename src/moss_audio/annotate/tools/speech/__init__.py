"""The speech branch's tools, a file each or one for a package that several lean on."""
