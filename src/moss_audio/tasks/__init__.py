"""One file a task: its wording, the answer it trains on, the parser of an answer, its score.

Inference, fine-tuning data, evaluation and rewards all use the same object. Tasks are imported
when asked for:

>>> get_task("transcribe", timestamps="word").parse("[0.32]hello[0.71]", duration=1.0).words
(Word(text='hello', start=0.32, end=0.71),)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.tasks.base import Task

__all__ = ["TASK_NAMES", "Task", "get_task"]

_TASKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "transcribe": ("transcribe", "Transcribe", {}),
    "transcribe_sentence": ("transcribe", "Transcribe", {"timestamps": "sentence"}),
    "transcribe_word": ("transcribe", "Transcribe", {"timestamps": "word"}),
    "caption": ("caption", "Describe", {}),
    "events": ("events", "Events", {}),
    "ask": ("ask", "Ask", {}),
}
TASK_NAMES = tuple(_TASKS)


def get_task(name: str, **options: Any) -> Task[Any]:
    """The task called `name`; a hyphen may stand for the underscore.

    options: the task's own settings: `timestamps` (None, "sentence", "word") for "transcribe",
    `question` for "ask". Raises MossAudioError for an unknown name or setting.
    """
    try:
        module, attribute, preset = _TASKS[name.lower().replace("-", "_")]
    except (KeyError, AttributeError):
        raise MossAudioError(
            f"unknown task {name!r}: choose one of {', '.join(TASK_NAMES)}"
        ) from None
    task_class = getattr(import_module(f"moss_audio.tasks.{module}"), attribute)
    known = tuple(getattr(task_class, "__dataclass_fields__", {}))
    for option in options:
        if option not in known:
            settings = ", ".join(known) or "none"
            raise MossAudioError(
                f"task {name!r} has no setting {option!r}; its settings are: {settings}"
            )
    task: Task[Any] = task_class(**{**preset, **options})
    return task
