"""MOSS-Audio: transcripts with word times, timelines of events, captions and answers from sound.

The public names below load on first use, so that ``import moss_audio`` costs milliseconds and
brings in neither torch nor transformers:

    >>> import moss_audio
    >>> model = moss_audio.load("nano")             # or a folder, or a hub id
    >>> model.transcribe("talk.mp3", timestamps="word").words
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moss_audio.api import MossAudio as MossAudio
    from moss_audio.api import load as load
    from moss_audio.errors import AudioError as AudioError
    from moss_audio.errors import CheckpointError as CheckpointError
    from moss_audio.errors import MissingDependencyError as MissingDependencyError
    from moss_audio.errors import MossAudioError as MossAudioError
    from moss_audio.errors import PromptError as PromptError
    from moss_audio.model import MossAudioConfig as MossAudioConfig
    from moss_audio.model import MossAudioModel as MossAudioModel
    from moss_audio.model import MossAudioProcessor as MossAudioProcessor
    from moss_audio.result import Answer as Answer
    from moss_audio.result import Caption as Caption
    from moss_audio.result import Event as Event
    from moss_audio.result import Segment as Segment
    from moss_audio.result import Timeline as Timeline
    from moss_audio.result import Transcript as Transcript
    from moss_audio.result import Word as Word

__version__ = "0.1.0"

# Where each public name lives. A table rather than imports: see the module docstring.
_HOME = {
    "load": "api",
    "MossAudio": "api",
    "MossAudioConfig": "model",
    "MossAudioModel": "model",
    "MossAudioProcessor": "model",
    "Answer": "result",
    "Caption": "result",
    "Event": "result",
    "Segment": "result",
    "Timeline": "result",
    "Transcript": "result",
    "Word": "result",
    "AudioError": "errors",
    "CheckpointError": "errors",
    "MissingDependencyError": "errors",
    "MossAudioError": "errors",
    "PromptError": "errors",
}

__all__ = [
    "Answer",
    "AudioError",
    "Caption",
    "CheckpointError",
    "Event",
    "MissingDependencyError",
    "MossAudio",
    "MossAudioConfig",
    "MossAudioError",
    "MossAudioModel",
    "MossAudioProcessor",
    "PromptError",
    "Segment",
    "Timeline",
    "Transcript",
    "Word",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds a public name, when the name is first asked for."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # the next access skips this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
