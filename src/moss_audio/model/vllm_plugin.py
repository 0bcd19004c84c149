"""vLLM's plug-in: our folders need no remote code there, and transcribe.

vLLM carries the architecture (`MossAudioModel`) but reads the configuration through transformers'
`AutoConfig`, which does not know `moss_audio`; and its class does not say that it transcribes. The
entry point of group `vllm.general_plugins` is called in every vLLM process, before any
configuration is read.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from typing import Any

_ARCHITECTURE = "MossAudioModel"
# By name: vLLM imports classes of models when one is loaded, in the process that runs it.
_CLASS = "moss_audio.vllm.transcription:TranscribingMossAudio"
# What vLLM asks of a class that transcribes, and calls by these names.
_INTERFACE = {
    "get_generation_prompt": ["stt_params"],
    "get_speech_to_text_config": ["model_config", "task_type"],
    "post_process_output": ["text"],
}

log = logging.getLogger("vllm.moss_audio")


def register() -> None:
    """Make `AutoConfig` know `moss_audio`, and vLLM a class of the model that transcribes. Where
    vLLM's interface is another than the one this was written for, a warning says so and the model
    answers chats alone. Harmless when called twice, or without vLLM."""
    from moss_audio import model

    model.register()
    try:
        models = importlib.import_module("vllm.model_executor.models")
    except ImportError:
        return
    if problem := _problem(models):
        log.warning(
            "this vLLM does not take transcriptions as moss-audio gives them (%s): MOSS-Audio "
            "answers chats, and not /v1/audio/transcriptions", problem,
        )  # fmt: skip
        return
    models.ModelRegistry.register_model(_ARCHITECTURE, _CLASS)


def _problem(models: Any) -> str:
    """What of vLLM's interface is not as it was; "" where nothing is."""
    interface = getattr(models, "SupportsTranscription", None)
    registry = getattr(models, "ModelRegistry", None)
    if interface is None or registry is None:
        return "no SupportsTranscription or no ModelRegistry"
    if _ARCHITECTURE not in registry.get_supported_archs():
        return f"no {_ARCHITECTURE}"
    for name, arguments in _INTERFACE.items():
        method = getattr(interface, name, None)
        if method is None or list(inspect.signature(method).parameters) != arguments:
            return f"{name} takes other arguments"
    return ""
