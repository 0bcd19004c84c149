"""Synthesised and recorded sound events."""
