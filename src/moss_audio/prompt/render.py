"""Messages and clip lengths -> ids, audio mask and loss mask, in one pass.

Layout (ChatML, spec section 1.5)::

    <|im_start|>system\\n{system}<|im_end|>\\n
    <|im_start|>user\\n<|audio_bos|>{tokens and markers}<|audio_eos|>\\n{text}<|im_end|>\\n
    <|im_start|>assistant\\n

Control tokens are placed by id. The text between two of them is tokenised as one string, which is
what a tokenizer makes of the same prompt written out; it never merges across a clip, nor across
the line where the model starts to write (there the training ids must equal the inference ids).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moss_audio.errors import PromptError
from moss_audio.prompt.markers import expand_clip
from moss_audio.prompt.messages import (
    AudioPart,
    TextPart,
    Turn,
    check_clips,
    check_end,
    check_text,
    parse_messages,
)
from moss_audio.prompt.template import AUDIO_PLACEHOLDER
from moss_audio.prompt.vocabulary import ChatVocabulary
from moss_audio.text import THINK_CLOSE, THINK_OPEN

# Other implementations also accept a placeholder with its middle repeated, as one clip.
_PLACEHOLDER = re.compile(r"<\|audio_bos\|>(?:<\|AUDIO\|>)+<\|audio_eos\|>")


@dataclass(frozen=True)
class PromptSpec:
    """What a checkpoint fixes about its prompt.

    `default_system` opens conversations that bring no system message; None opens them without.
    """

    audio_token_id: int
    audio_start_id: int
    audio_end_id: int
    time_markers: bool = True
    default_system: str | None = "You are a helpful assistant."

    @property
    def audio_ids(self) -> frozenset[int]:
        return frozenset((self.audio_token_id, self.audio_start_id, self.audio_end_id))


@dataclass(frozen=True)
class Rendered:
    """One prompt; three lists of equal length.

    `audio_mask` is true where an audio embedding goes (markers are text: false).
    `loss_mask` is true where a model is trained: an assistant's words and its `<|im_end|>`.
    """

    input_ids: list[int]
    audio_mask: list[bool]
    loss_mask: list[bool]


def render(
    messages: Sequence[Mapping[str, Any]],
    audio_tokens: Sequence[int],
    tokenizer: Any,
    spec: PromptSpec,
    *,
    add_generation_prompt: bool = True,
    enable_thinking: bool = True,
    continue_final_message: bool = False,
    begins_s: int = 0,
) -> Rendered:
    """Renders one conversation.

    Args:
        messages: see `moss_audio.prompt.messages`. All text is plain text, control tokens typed
            into it included. A newline joins a clip and the text part that follows it. White
            space at the start of an assistant's content, and around its thinking, is dropped.
        audio_tokens: audio tokens of every clip, in prompt order.
        tokenizer: a fast ChatML tokenizer; it need not know the audio tokens.
        spec: audio ids, time markers, default system text.
        add_generation_prompt: end with the opened assistant turn (inference) or not (training).
        enable_thinking: False writes an empty think block into that turn. The same block opens
            an assistant message with ``"thinking": ""``; it is prompt there too, without loss.
            Without loss are also the ``"unlearnt"`` passages of a thinking; their ids are those of
            any other.
        continue_final_message: the last message is the assistant's and is left open, so that an
            answer goes on where it ends. A think block that its text begins with, open or closed,
            is one. Instead of `add_generation_prompt`.
        begins_s: where in a longer recording each clip begins (`expand_clip`).

    Returns:
        ids and masks. What is rendered for messages[:k] with a generation prompt opens what is
        rendered for messages[:k+1] where message k is the assistant's (with `enable_thinking`
        False: where its thinking is "").

    Raises:
        PromptError: malformed messages, or another number of clips than of `audio_tokens`.
    """
    turns = parse_messages(messages)
    check_clips(turns, len(audio_tokens))
    add_generation_prompt = add_generation_prompt and not continue_final_message
    if add_generation_prompt or continue_final_message:
        check_end(
            turns, continues=continue_final_message, otherwise="pass add_generation_prompt=False"
        )
    builder = _Builder(ChatVocabulary(tokenizer), spec, begins_s)
    if turns[0].role != "system" and spec.default_system is not None:
        builder.turn(Turn("system", (TextPart(spec.default_system),)), iter(()))
    lengths = iter(audio_tokens)
    for turn in turns[:-1] if continue_final_message else turns:
        builder.turn(turn, lengths)
    if continue_final_message:
        builder.begun(turns[-1])
    if add_generation_prompt:
        builder.open_turn("assistant")
        if not enable_thinking:
            builder.think("")
    return builder.finish()


def render_raw(
    text: str, audio_tokens: Sequence[int], tokenizer: Any, spec: PromptSpec
) -> Rendered:
    """Renders a prompt that the caller wrote out, control tokens and placeholders included.

    Args:
        text: the whole prompt; a clip goes where `AUDIO_PLACEHOLDER` stands. Each piece of text
            around the clips is tokenised alone, its control tokens honoured: never pass text
            from somebody you don't trust.
        audio_tokens: audio tokens of every clip, in prompt order.

    Returns:
        ids and masks; `loss_mask` is false everywhere.

    Raises:
        PromptError: other numbers of clips and placeholders, or a lone audio token in the text.
    """
    pieces = _PLACEHOLDER.split(check_text(text, "the prompt"))
    if len(pieces) - 1 != len(audio_tokens):
        raise PromptError(
            f"the prompt holds {len(pieces) - 1} audio placeholders but {len(audio_tokens)} clips "
            f"are given: write {AUDIO_PLACEHOLDER} once for each clip"
        )
    vocabulary = ChatVocabulary(tokenizer)
    builder = _Builder(vocabulary, spec)
    for index, piece in enumerate(pieces):
        if index:
            builder.clip(audio_tokens[index - 1])
        ids = vocabulary.encode_with_control(piece)
        stray = spec.audio_ids.intersection(ids)
        if stray:
            raise PromptError(
                f"the prompt holds an audio token (id {min(stray)}) outside a placeholder: "
                f"write {AUDIO_PLACEHOLDER} for a clip"
            )
        builder.extend(ids, loss=False)
    return builder.finish()


def count_placeholders(text: str) -> int:
    """Clips that a written-out prompt asks for."""
    return len(_PLACEHOLDER.findall(text))


@dataclass
class _Builder:
    """Collects ids and masks together, so that they can't come apart."""

    vocabulary: ChatVocabulary
    spec: PromptSpec
    begins_s: int = 0
    ids: list[int] = field(default_factory=list)
    audio: list[bool] = field(default_factory=list)
    loss: list[bool] = field(default_factory=list)
    pending: str = ""  # text since the last boundary, not tokenised yet
    pending_loss: bool = False
    digit_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.spec.time_markers:
            self.digit_ids = self.vocabulary.digit_ids

    def turn(self, turn: Turn, lengths: Any) -> None:
        trained = turn.role == "assistant"
        self.open_turn(turn.role)
        if trained:
            if turn.thinking is not None:
                self.think(turn.thinking, turn.unlearnt)
            self.text(turn.text.lstrip(), loss=True)
        else:
            self._parts(turn, lengths)
        self.control(self.vocabulary.im_end, loss=trained)
        self.text("\n")

    def begun(self, turn: Turn) -> None:
        """The assistant's turn as far as it has come."""
        self.open_turn(turn.role)
        if turn.thinking is not None:
            self.think(turn.thinking)
        text = turn.text.lstrip()
        start, end = self.vocabulary.think_start, self.vocabulary.think_end
        if turn.thinking is None and start is not None and text.startswith(THINK_OPEN):
            thought, closed, text = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
            self.control(start)
            self.text(thought)
            if closed and end is not None:
                self.control(end)
        self.text(text)

    def _parts(self, turn: Turn, lengths: Any) -> None:
        after_clip = False
        for part in turn.parts:
            if isinstance(part, AudioPart):
                self.clip(next(lengths))
            else:
                self.text("\n" + part.text if after_clip else part.text)
            after_clip = isinstance(part, AudioPart)

    def open_turn(self, role: str) -> None:
        self.control(self.vocabulary.im_start)
        self.text(role + "\n")

    def think(self, thinking: str, unlearnt: tuple[str, ...] = ()) -> None:
        thinking = thinking.strip()
        # An empty block is what switches thinking off: given, never generated, so no loss.
        loss = bool(thinking)
        self._think_mark(self.vocabulary.think_start, THINK_OPEN, loss=loss)
        self.text("\n", loss=loss)
        rest = f"{thinking}\n"
        for passage in unlearnt:  # from the start of a line to its end or a space, as tokens are
            at = f"\n{rest}".index(f"\n{passage}")
            self.text(rest[:at], loss=loss)
            self.text(passage)
            rest = rest[at + len(passage) :]
        self.text(rest, loss=loss)
        self._think_mark(self.vocabulary.think_end, THINK_CLOSE, loss=loss)
        self.text("\n\n", loss=loss)

    def _think_mark(self, token_id: int | None, text: str, *, loss: bool) -> None:
        """A mark of a think block; as text where the tokenizer has no token for it."""
        if token_id is None:
            self.text(text, loss=loss)
        else:
            self.control(token_id, loss=loss)

    def clip(self, n_tokens: int) -> None:
        ids, mask = expand_clip(n_tokens, self.spec.audio_token_id, self.digit_ids, self.begins_s)
        self.control(self.spec.audio_start_id)
        self.ids += ids
        self.audio += mask
        self.loss += [False] * len(ids)
        self.control(self.spec.audio_end_id)

    def text(self, text: str, *, loss: bool = False) -> None:
        if text and loss != self.pending_loss:
            self._flush()
            self.pending_loss = loss
        self.pending += text

    def control(self, token_id: int, *, loss: bool = False) -> None:
        self._flush()
        self.extend([token_id], loss=loss)

    def extend(self, ids: list[int], *, loss: bool) -> None:
        self.ids += ids
        self.audio += [False] * len(ids)
        self.loss += [loss] * len(ids)

    def _flush(self) -> None:
        if not self.pending:
            return
        ids = self.vocabulary.encode_plain(self.pending)
        if self.spec.audio_ids.intersection(ids):
            raise PromptError("the message's text is tokenised to an audio token: check the audio "
                              "ids of the processor against its tokenizer")  # fmt: skip
        self.extend(ids, loss=self.pending_loss)
        self.pending = ""

    def finish(self) -> Rendered:
        self._flush()
        return Rendered(self.ids, self.audio, self.loss)
