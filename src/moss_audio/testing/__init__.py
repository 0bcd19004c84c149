"""Tiny models, tokenizers and clips for tests: ours, and those of users."""
