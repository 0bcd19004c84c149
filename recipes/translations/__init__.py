"""Speech translation to train on: French, German and Spanish sentences with their English.

Composed from parallel parts, so the translation is exact, and spoken by espeak-ng:
`python -m recipes.translations OUT`. A small set of its kind: it shows the task, it does
not teach a language.
"""
