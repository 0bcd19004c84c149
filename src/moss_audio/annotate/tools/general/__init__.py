"""The general branch's tools, a file each: events, anchor, description, judges."""
