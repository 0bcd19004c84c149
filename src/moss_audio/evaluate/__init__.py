"""Held-out figures of a checkpoint."""
