"""The engine on torch: a `LocalEngine` whose runner is a `MossAudioModel` in this process."""

from __future__ import annotations

from typing import Any

from moss_audio.engine.local import LocalEngine
from moss_audio.engine.torch_runner import TorchRunner
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.processing import MossAudioProcessor


class TorchEngine(LocalEngine):
    """Runs a model and its processor, both of one checkpoint.

    Args:
        model: on its device, in its dtype; put into evaluation mode.
        processor: of the same checkpoint.
        options: of `LocalEngine`.
    """

    def __init__(
        self,
        model: MossAudioModel,
        processor: MossAudioProcessor,
        **options: Any,
    ) -> None:
        spec = processor.prompt_spec
        runner = TorchRunner(model, spec.audio_ids)
        super().__init__(runner, processor.tokenizer, spec, **options)
        self.model = model
        self.processor = processor
        self.device = runner.device
        self.dtype = runner.dtype
