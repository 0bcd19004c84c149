"""One file a task: wording, parser, bound, windows and their join, score.

Inference, fine-tuning data, evaluation and rewards all use the same object. Tasks are imported
when asked for:

>>> get_task("transcribe", timestamps="word").parse("[0.32]hello[0.71]", duration=1.0).words
(Word(text='hello', start=0.32, end=0.71),)
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.tasks.base import Task

__all__ = ["TASK_NAMES", "Task", "get_task"]

# Data, evaluation and the command offer these names. `reason` needs a truth of its own: it is for
# data (`moss_audio.data.config`) and rewards.
TASK_NAMES = ("transcribe", "transcribe_sentence", "transcribe_word", "caption", "events", "ask")


def get_task(name: str, **options: Any) -> Task[Any]:
    """The task called `name`; a hyphen may stand for the underscore.

    options: the task's own settings: `timestamps` (None, "sentence", "word") for "transcribe",
    `question` for "ask" and "reason". Raises MossAudioError for an unknown name or setting.
    """
    key = name.lower().replace("-", "_") if isinstance(name, str) else name
    task_class: Any
    if key == "caption":
        from moss_audio.tasks.caption import Describe as task_class
    elif key == "events":
        from moss_audio.tasks.events import Events as task_class
    elif key == "ask":
        from moss_audio.tasks.ask import Ask as task_class
    elif key == "reason":
        from moss_audio.tasks.reason import Reason as task_class
    elif key in TASK_NAMES and key.startswith("transcribe"):
        from moss_audio.tasks.transcribe import Transcribe as task_class

        if key != "transcribe":
            options = {"timestamps": key.removeprefix("transcribe_"), **options}
    else:
        raise MossAudioError(f"unknown task {name!r}: choose one of {', '.join(TASK_NAMES)}")
    known = tuple(field.name for field in fields(task_class))
    for option in options:
        if option not in known:
            settings = ", ".join(known) or "none"
            raise MossAudioError(
                f"task {name!r} has no setting {option!r}; its settings are: {settings}"
            )
    task: Task[Any] = task_class(**options)
    return task
