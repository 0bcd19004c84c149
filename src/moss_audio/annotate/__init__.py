"""The data engine: raw recordings -> segments cut at event boundaries -> branch annotations -> one
caption with times -> conversations to train on (specification, section 3)."""
