"""`MossAudioProcessor`: the transformers face of features and prompt.

It turns questions, written-out prompts or conversations, with their clips, into the tensors of
one `MossAudioModel` call. The released folders are read as they are, and what `save_pretrained`
writes is what vLLM reads (spec section 1.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from transformers import AutoProcessor, BatchFeature, ProcessorMixin

from moss_audio.dsp.mel import log_mel
from moss_audio.errors import CheckpointError, PromptError, short_reason
from moss_audio.model.checkpoint import find_local
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.padding import left_padded, padded_mels
from moss_audio.model.prompt_settings import mel_config as checked_mel_config
from moss_audio.model.prompt_settings import prompt_spec as read_prompt_spec
from moss_audio.model.sizes import AUDIO_IDS
from moss_audio.prompt import (
    AudioPart,
    PromptSpec,
    Rendered,
    audio_parts,
    check_end,
    count_placeholders,
    ends_answered,
    parse_messages,
    render,
    render_raw,
)
from moss_audio.prompt import chat_template as template_text
from moss_audio.units import SAMPLE_RATE, num_tokens

IGNORE_INDEX = -100  # torch's cross entropy skips it
# Where an audio part of a message may hold its clip; whatever `load_audio` accepts.
AUDIO_KEYS = ("audio", "path", "url")
_AUDIO_PART_KEYS = frozenset(("type", "sampling_rate", "start", "end", *AUDIO_KEYS))

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Clip:
    """A clip still to be loaded, with what belongs to it alone."""

    value: Any
    sampling_rate: int | None = None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class _Request:
    """One row of the batch: a conversation or a written-out prompt, and its clips in order."""

    messages: Messages | None
    raw: str | None
    clips: tuple[_Clip, ...]


class MossAudioProcessor(ProcessorMixin):
    """Text and audio to model inputs, and ids back to text.

    Args:
        tokenizer: a fast ChatML tokenizer (Qwen3's, SmolLM2's); it is used as it is and need
            not know the audio tokens.
        chat_template: accepted because transformers passes on the one that it finds in a folder.
            It is replaced by the text form of our renderer, so that the two can't disagree.
        audio_token_id, audio_start_id, audio_end_id: defaults are the released checkpoints'.
        enable_time_marker: write elapsed seconds into the audio tokens. On unless switched off:
            the released checkpoints were trained so, also where their folder doesn't say it.
        mel_config: {mel_dim, mel_sr, mel_hop_length, mel_n_fft}; only mel_dim may vary.
        default_system: opens conversations that bring no system message; None leaves it out.

    Raises:
        CheckpointError: an impossible mel_config or audio id.
    """

    def __init__(
        self,
        tokenizer: Any,
        chat_template: str | None = None,
        audio_token_id: int = AUDIO_IDS["audio_token_id"],
        audio_start_id: int = AUDIO_IDS["audio_start_id"],
        audio_end_id: int = AUDIO_IDS["audio_end_id"],
        enable_time_marker: bool = True,
        mel_config: Mapping[str, int] | None = None,
        default_system: str | None = PromptSpec.default_system,
    ) -> None:
        self.audio_token_id = audio_token_id
        self.audio_start_id = audio_start_id
        self.audio_end_id = audio_end_id
        self.enable_time_marker = bool(enable_time_marker)
        self.mel_config = checked_mel_config(mel_config)
        self.default_system = default_system
        _ = self.prompt_spec  # refuses impossible ids
        super().__init__(tokenizer, chat_template=template_text(default_system))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Reads the tokenizer and processor_config.json of nano, a folder or a hub id.

        Keys missing from processor_config.json get the defaults above.

        Raises:
            CheckpointError: names the folder and what is missing or malformed in it.
        """
        # Released folders name remote code in their auto_map; unset, transformers would stop and
        # ask at the terminal whether to run it. Everything needed is here, so it never runs.
        kwargs["trust_remote_code"] = False
        source = pretrained_model_name_or_path
        try:
            # a hub id is transformers' business: it fetches no weights
            return super().from_pretrained(find_local(source) or source, **kwargs)
        except CheckpointError:
            raise
        except Exception as error:  # a damaged tokenizer.json raises a bare Exception
            raise CheckpointError(
                f"no processor in {str(source)!r}: {short_reason(error)}"
            ) from error

    @property
    def prompt_spec(self) -> PromptSpec:
        """What the renderer needs to know about this checkpoint."""
        return read_prompt_spec(vars(self))

    @property
    def n_mels(self) -> int:
        return self.mel_config["mel_dim"]

    @property
    def model_input_names(self) -> list[str]:
        return [
            "input_ids",
            "attention_mask",
            "audio_data",
            "audio_data_seqlens",
            "audio_input_mask",
        ]

    def __call__(  # type: ignore[override]
        self,
        text: str | Sequence[str] | None = None,
        audio: Any = None,
        *,
        messages: Messages | Sequence[Messages] | None = None,
        sampling_rate: int | None = None,
        raw_prompt: bool | None = None,
        add_generation_prompt: bool | None = None,
        enable_thinking: bool = True,
        return_loss_mask: bool = False,
        padding: bool | str = True,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Builds the inputs of one model call, for any mix of prompts.

        Args:
            text: one question or prompt, or a list of them. Plain text becomes a user message
                behind its clips. Text with audio placeholders is a written-out prompt: it is
                used as it is, control tokens honoured (see `raw_prompt`).
            audio: for one text a clip or a list of clips; for several texts a list with, for
                each, a clip, a list of clips or None. A clip is anything that `load_audio`
                accepts; a bare array is mono at `sampling_rate`.
            messages: instead of text, one conversation or a list of conversations. An audio part
                holds its clip under "audio", "path" or "url", and may name "sampling_rate",
                "start" and "end" (seconds); parts without a clip take theirs from `audio`.
            sampling_rate: Hz of bare arrays, 16000 if not given.
            raw_prompt: True takes text as a written-out prompt even without placeholders, False
                never does: set it for text from somebody you don't trust. None looks at the text.
            add_generation_prompt: open the assistant's turn; None does so unless a conversation
                ends with an answer.
            enable_thinking: False opens that turn with an empty think block.
            return_loss_mask: add `labels`: ids where a model is trained, else -100.
            padding: True or "longest", the only kind there is.
            return_tensors: "pt", the only kind there is.

        Returns:
            input_ids, attention_mask [B, L] long, left padded. If there are clips, also
            audio_data [n_clips, n_mels, n_frames] float32 zero padded, audio_data_seqlens
            [n_clips] long (frames), audio_input_mask [B, L] bool; clips of all prompts in order.

        Raises:
            PromptError: malformed messages, or clips that don't match the prompts.
            AudioError: a clip that can't be read.
        """
        if padding not in (True, "longest"):
            raise PromptError(f"padding={padding!r}: only True (to the longest prompt) is possible")
        if return_tensors not in ("pt", None):
            raise PromptError(f"return_tensors={return_tensors!r}: only 'pt' is possible")
        if (text is None) == (messages is None):
            raise PromptError("give either text or messages")
        if messages is not None:
            requests = _from_messages(messages, audio)
        else:
            assert text is not None
            requests = _from_text(text, audio, raw_prompt)
        mels = [self._mel(clip, sampling_rate) for request in requests for clip in request.clips]
        lengths = iter([num_tokens(mel.shape[-1]) for mel in mels])
        rows: list[Rendered] = []
        for index, request in enumerate(requests):
            audio_tokens = [next(lengths) for _ in request.clips]
            row = self._render(request, audio_tokens, add_generation_prompt, enable_thinking)
            if return_loss_mask and not any(row.loss_mask):
                raise PromptError(
                    f"prompt {index} holds nothing to train on: with return_loss_mask give "
                    "messages with an assistant's answer"
                )
            rows.append(row)
        return self._batch(rows, mels, return_loss_mask)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Messages | Sequence[Messages],
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str = "pt",
        enable_thinking: bool = True,
        **kwargs: Any,
    ) -> Any:
        """transformers' way to render conversations; the same ids as ``self(messages=...)``.

        Args:
            conversation: one conversation or a list of them.
            chat_template: not possible; the renderer is the only one.
            tokenize: False returns text (or a list of texts) with audio placeholders.
            return_dict: with `tokenize`, all model inputs instead of input_ids alone.
            kwargs: passed to ``self(...)`` (audio, sampling_rate, ...), only with `tokenize`.

        Raises:
            PromptError: as ``self(...)``.
        """
        if chat_template is not None:
            raise PromptError("chat_template can't be replaced: write the prompt out as text")
        if tokenize:
            out = self(
                messages=conversation,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=enable_thinking,
                return_tensors=return_tensors,
                **kwargs,
            )
            return out if return_dict else out["input_ids"]
        if kwargs:
            raise PromptError(f"{sorted(kwargs)} need tokenize=True")
        for one in _conversations(conversation):
            turns = parse_messages(one)
            if add_generation_prompt:
                check_end(turns, continues=False)
        return super().apply_chat_template(
            conversation,  # type: ignore[arg-type]
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
        )

    def _mel(self, clip: _Clip, sampling_rate: int | None) -> np.ndarray:
        from moss_audio.recordings import load_audio

        value = clip.value
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().float().numpy()
        rate = clip.sampling_rate
        if rate is None and isinstance(value, np.ndarray):
            rate = SAMPLE_RATE if sampling_rate is None else sampling_rate
        loaded = load_audio(value, sample_rate=rate, start=clip.start_s, end=clip.end_s)
        mel = log_mel(loaded.samples, self.n_mels)
        if num_tokens(mel.shape[-1]) < 1:
            raise PromptError(
                f"{loaded.source} is {loaded.duration_s:.4f} s long, too short for an audio "
                "token: give at least 0.01 s"
            )
        return mel

    def _render(
        self,
        request: _Request,
        audio_tokens: list[int],
        add_generation_prompt: bool | None,
        enable_thinking: bool,
    ) -> Rendered:
        if request.raw is not None:
            return render_raw(request.raw, audio_tokens, self.tokenizer, self.prompt_spec)
        assert request.messages is not None
        if add_generation_prompt is None:
            add_generation_prompt = not ends_answered(parse_messages(request.messages))
        return render(
            request.messages,
            audio_tokens,
            self.tokenizer,
            self.prompt_spec,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
        )

    def _batch(
        self, rows: list[Rendered], mels: list[np.ndarray], with_labels: bool
    ) -> BatchFeature:
        input_ids, attention_mask = left_padded([row.input_ids for row in rows], self._pad_id())
        data = {"input_ids": input_ids, "attention_mask": attention_mask}
        if mels:
            data["audio_data"], data["audio_data_seqlens"] = padded_mels(mels)
            audio_mask, _ = left_padded([row.audio_mask for row in rows])
            data["audio_input_mask"] = audio_mask.bool()
        if with_labels:
            loss_mask, _ = left_padded([row.loss_mask for row in rows])
            data["labels"] = torch.where(loss_mask.bool(), input_ids, IGNORE_INDEX)
        return BatchFeature(data)

    def _pad_id(self) -> int:
        # Masked out, so any id will do where a tokenizer names none.
        for token_id in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token_id is not None:
                return int(token_id)
        return 0


def _is_list(audio: Any) -> bool:
    # A tuple is one clip: (array, rate).
    return isinstance(audio, list)


def _clips(entry: Any) -> list[_Clip]:
    """Clips of one prompt from None, a clip or a list of clips."""
    if entry is None:
        return []
    return [_Clip(value) for value in (entry if _is_list(entry) else [entry])]


def _deal(audio: Any, wanted: Sequence[int | None]) -> list[list[_Clip]]:
    """Clips of every prompt.

    Args:
        audio: None, a clip, a list of clips, or a list with an entry for each prompt.
        wanted: clips that each prompt asks for; None where it takes any number.
    """
    if audio is None:
        return [[] for _ in wanted]
    if len(wanted) == 1:
        nested = _is_list(audio) and len(audio) == 1 and (_is_list(audio[0]) or audio[0] is None)
        return [_clips(audio[0] if nested else audio)]
    if not _is_list(audio):
        raise PromptError(f"one clip is given for {len(wanted)} prompts: give a list of clips")
    flat = not any(_is_list(entry) or entry is None for entry in audio)
    needed = [count for count in wanted if count is not None]
    if flat and len(needed) == len(wanted) and sum(needed) == len(audio):
        clips = iter(audio)
        return [[_Clip(next(clips)) for _ in range(count)] for count in needed]
    if len(audio) != len(wanted):
        raise PromptError(
            f"{len(audio)} entries of audio for {len(wanted)} prompts: give, for each prompt, "
            "a clip, a list of clips or None"
        )
    return [_clips(entry) for entry in audio]


def _from_text(text: str | Sequence[str], audio: Any, raw_prompt: bool | None) -> list[_Request]:
    texts = [text] if isinstance(text, str) else list(text)
    if not texts:
        raise PromptError("text is an empty list: give at least one prompt")
    for i, one in enumerate(texts):
        if not isinstance(one, str):
            raise PromptError(f"text {i} must be a string, not {type(one).__name__}")
    raw = [count_placeholders(t) > 0 if raw_prompt is None else raw_prompt for t in texts]
    wanted = [count_placeholders(t) if r else None for t, r in zip(texts, raw, strict=True)]
    requests = []
    for one, is_raw, clips in zip(texts, raw, _deal(audio, wanted), strict=True):
        content = [*({"type": "audio"} for _ in clips), {"type": "text", "text": one}]
        messages = None if is_raw else [{"role": "user", "content": content}]
        requests.append(_Request(messages, one if is_raw else None, tuple(clips)))
    return requests


def _conversations(messages: Any) -> list[Any]:
    """One conversation or a list of them, as a list of them."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not len(messages):
        raise PromptError("messages must be a conversation, or a list of them, and not empty")
    if all(isinstance(item, Mapping) for item in messages):
        return [messages]
    return list(messages)


def _from_messages(messages: Any, audio: Any) -> list[_Request]:
    conversations = _conversations(messages)
    parts = [audio_parts(parse_messages(conversation)) for conversation in conversations]
    found = [[_part_clip(part) for part in row] for row in parts]
    wanted = [sum(clip is None for clip in row) for row in found]
    requests = []
    for i, given in enumerate(_deal(audio, wanted)):
        if len(given) != wanted[i]:
            raise PromptError(
                f"conversation {i} holds {wanted[i]} audio parts without a clip but {len(given)} "
                "clips are given: put the clip into the part, or give one for each"
            )
        rest = iter(given)
        clips = tuple(clip if clip is not None else next(rest) for clip in found[i])
        requests.append(_Request(conversations[i], None, clips))
    return requests


def _part_clip(part: AudioPart) -> _Clip | None:
    unknown = sorted(str(key) for key in part.fields if key not in _AUDIO_PART_KEYS)
    if unknown:
        raise PromptError(f"an audio part has unknown keys {unknown}: use {AUDIO_KEYS[0]!r}")
    values = [part.fields[key] for key in AUDIO_KEYS if part.fields.get(key) is not None]
    if len(values) > 1:
        raise PromptError(f"an audio part has several clips: give one of {', '.join(AUDIO_KEYS)}")
    if not values:
        return None
    fields = part.fields
    for key in ("sampling_rate", "start", "end"):
        number = fields.get(key)
        if number is not None and (isinstance(number, bool) or not isinstance(number, Real)):
            raise PromptError(f"an audio part has {key}={number!r}: give a number")
    return _Clip(values[0], fields.get("sampling_rate"), fields.get("start"), fields.get("end"))


# `AutoProcessor` finds the class of a folder through its configuration, and `AutoTokenizer`, which
# reads the tokenizer for us, needs to know that configuration: importing it has registered it.
AutoProcessor.register(MossAudioConfig, MossAudioProcessor, exist_ok=True)
