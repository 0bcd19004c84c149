"""Questions that are derived from what sounds when, with the thoughts that lead to their answers.

`kinds` is the list of kinds; `problem` draws one of them; `thought` writes the thought; `splits`
says what is held out; `balance` bounds what a constant answer would get.
"""
