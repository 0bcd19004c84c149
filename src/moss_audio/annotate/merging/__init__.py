"""From the branches' results to one caption: evidence, plan, writers, grounding check."""
