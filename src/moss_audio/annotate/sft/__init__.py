"""Conversations for fine-tuning, a file a family of tasks; `annotate.tasks` draws from them."""
