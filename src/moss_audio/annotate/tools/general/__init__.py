"""The general branch's tools: the anchor and the description, and their judges."""
