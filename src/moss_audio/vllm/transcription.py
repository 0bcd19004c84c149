"""vLLM's class of the model, with what its endpoint `/v1/audio/transcriptions` asks of one.

vLLM asks the class for a prompt for each window of a recording, and has it tidy the answers; see
`SupportsTranscription` there. Prompt, window and parser are those of the task `transcribe`. What
an endpoint needs beyond that is in `moss_audio.vllm.endpoint`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from vllm.config import SpeechToTextConfig
from vllm.model_executor.models.interfaces import SupportsTranscription
from vllm.model_executor.models.moss_audio import MossAudioModel

from moss_audio.listen import MAX_CLIP_S, prompt_seconds
from moss_audio.units import SAMPLE_RATE, num_tokens_of_samples
from moss_audio.vllm.endpoint import HEARING, extend, plain_text, prompt_text


class TranscribingMossAudio(MossAudioModel, SupportsTranscription):
    """`MossAudioModel` of vLLM that also transcribes."""

    # of others vLLM says that they are not native, and goes on
    supported_languages: ClassVar[dict[str, str]] = {"en": "English", "zh": "Chinese"}

    @classmethod
    def get_speech_to_text_config(cls, model_config: Any, task_type: str) -> Any:
        """How long a window may be; asked when vLLM's endpoint is made."""
        extend(cls)
        window_s = min(MAX_CLIP_S, prompt_seconds(model_config.max_model_len))
        return SpeechToTextConfig(sample_rate=SAMPLE_RATE, max_audio_clip_s=int(window_s))

    @classmethod
    def get_num_audio_tokens(
        cls, audio_duration_s: float, stt_config: Any, model_config: Any
    ) -> int:
        """Tokens of a clip."""
        return num_tokens_of_samples(round(audio_duration_s * SAMPLE_RATE))

    @classmethod
    def get_generation_prompt(cls, stt_params: Any) -> Any:
        """The prompt about a window. Raises ValueError for a translation."""
        if stt_params.task_type != "transcribe":
            raise ValueError(
                "this model writes down speech in its own language and does not translate it: use "
                "/v1/audio/transcriptions"
            )
        hearing = HEARING.get()
        if hearing is not None:
            hearing.window(len(stt_params.audio) / SAMPLE_RATE)
        return {
            "prompt": prompt_text(hearing),
            "multi_modal_data": {"audio": (stt_params.audio, SAMPLE_RATE)},
        }

    @classmethod
    def post_process_output(cls, text: str) -> str:
        """The words in a window's answer; where more is wanted of it, the answer as it is."""
        hearing = HEARING.get()
        return plain_text(text) if hearing is None else hearing.kept(text)
