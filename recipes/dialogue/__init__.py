"""People's speech for training: the recorded dialogue of free adventure games, transcribed.

Synthetic voices teach words and times exactly, but a model that has heard no others does worse on
people. Three games in Debian's main section have thousands of spoken lines by dozens of actors;
`python -m recipes.dialogue OUT` writes them as conversations to train on.
"""
