"""The engine on torch: a `LocalEngine` whose runner is a `MossAudioModel` in this process."""

from __future__ import annotations

from typing import Any

from moss_audio.engine.local import LocalEngine
from moss_audio.engine.torch_runner import TorchRunner
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.processing import MossAudioProcessor

REUSE_BYTES = 512 * 2**20  # keys and values kept for further questions


class TorchEngine(LocalEngine):
    """Runs a model and its processor, both of one checkpoint.

    Args:
        model: on its device, in its dtype; put into evaluation mode.
        processor: of the same checkpoint.
        reuse_bytes: memory for the prefixes of clips, least recently used out first.
        options: of `LocalEngine`.
    """

    def __init__(
        self,
        model: MossAudioModel,
        processor: MossAudioProcessor,
        *,
        reuse_bytes: int = REUSE_BYTES,
        **options: Any,
    ) -> None:
        spec = processor.prompt_spec
        runner = TorchRunner(model, spec.audio_ids, reuse_bytes=reuse_bytes)
        super().__init__(runner, processor.tokenizer, spec, **options)
        self.model = model
        self.processor = processor
        self.device = runner.device
        self.dtype = runner.dtype
