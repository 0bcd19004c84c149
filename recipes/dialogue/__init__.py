"""A data set of human speech: the recorded dialogue of free adventure games, transcribed.

Synthetic voices come with exact words and times, but a model trained on nothing else does worse on
people. Three games in Debian's main section have thousands of spoken lines by dozens of actors;
`python -m recipes.dialogue OUT` writes them as conversations to train on.
"""
