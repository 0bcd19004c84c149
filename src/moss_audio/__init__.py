"""MOSS-Audio: transcripts with word times, timelines of events, captions and answers from sound.

The public names below load on first use, so that ``import moss_audio`` costs milliseconds and
brings in neither torch nor transformers:

    >>> import moss_audio
    >>> model = moss_audio.load("nano")             # or a folder, or a hub id
    >>> model.transcribe("talk.mp3", timestamps="word").words
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moss_audio.api import MossAudio as MossAudio
    from moss_audio.api import load as load
    from moss_audio.errors import AudioError as AudioError
    from moss_audio.errors import CheckpointError as CheckpointError
    from moss_audio.errors import MissingDependencyError as MissingDependencyError
    from moss_audio.errors import MossAudioError as MossAudioError
    from moss_audio.errors import PromptError as PromptError
    from moss_audio.model.config import MossAudioConfig as MossAudioConfig
    from moss_audio.model.modeling import MossAudioModel as MossAudioModel
    from moss_audio.model.processing import MossAudioProcessor as MossAudioProcessor
    from moss_audio.result import Answer as Answer
    from moss_audio.result import Caption as Caption
    from moss_audio.result import Event as Event
    from moss_audio.result import Segment as Segment
    from moss_audio.result import Timeline as Timeline
    from moss_audio.result import Transcript as Transcript
    from moss_audio.result import Word as Word

__version__ = "0.1.0"

# Since 1.29 ONNX Runtime reports its use to its makers, from the moment it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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
    home: ModuleType
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("load", "MossAudio"):
        import moss_audio.api as home
    elif name.endswith("Error"):
        import moss_audio.errors as home
    elif name.startswith("MossAudio"):
        from moss_audio.errors import require

        require("torch", "transformers", extra="torch", purpose=name)
        from moss_audio.model import config, modeling, processing  # all: each registers its own

        home = {"Config": config, "Model": modeling}.get(name.removeprefix("MossAudio"), processing)
    else:
        import moss_audio.result as home
    value = getattr(home, name)
    globals()[name] = value  # the next access skips this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
