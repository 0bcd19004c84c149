"""Composed sound scenes whose transcript, word times, events and music facts are known exactly."""
