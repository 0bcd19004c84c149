"""A data set for speech translation: German, French and Spanish sentences with their English.

The sentences are composed from parallel parts, so that the translations are exact, and spoken by
espeak-ng: `python -m recipes.translations OUT`. The set is small: it shows a model the task, it
does not teach a language.
"""
