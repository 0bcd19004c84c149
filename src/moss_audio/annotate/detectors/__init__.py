"""Detectors: what sounds when. One file each; `make` builds one from its configuration."""
