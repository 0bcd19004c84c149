"""The speech branch's tools, a file each; what several of them use is in files of its own."""
