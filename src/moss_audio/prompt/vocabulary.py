"""Which ids are control tokens, and how text becomes ids that never are.

Fast tokenizers match added tokens (`<|im_end|>`, `<think>`, ...) before anything else, so a user
who types one would gain control of the prompt. `split_special_tokens` keeps only those flagged
special out, and switches a flag inside the shared tokenizer; `<think>` is not flagged in Qwen3.
Here plain text goes through the tokenizer's own normaliser, pre-tokeniser and model, but with no
added tokens at all: ordinary text gets the same ids, control tokens can't arise.
"""

from __future__ import annotations

from typing import Any

from moss_audio.errors import PromptError


class ChatVocabulary:
    """ids of the structure tokens, the think tokens and the digits of one tokenizer.

    Cheap to build (the tokenizer's model is shared, not copied).

    Attributes:
        im_start, im_end: ids of the ChatML tokens.
        think_start, think_end: ids of `<think>` and `</think>`, or None when it lacks them.
        control_ids: all added tokens' ids.

    Raises:
        PromptError: the tokenizer is not a fast one or has no ChatML tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise PromptError(
                f"{type(tokenizer).__name__} is not a fast tokenizer: "
                "load the folder's tokenizer.json with AutoTokenizer"
            )
        self._name = type(tokenizer).__name__
        self._full = backend
        self._plain = _without_added_tokens(backend)
        self._added = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
        self.control_ids = frozenset(self._added.values())
        self.im_start = self._control("<|im_start|>")
        self.im_end = self._control("<|im_end|>")
        start, end = self._added.get("<think>"), self._added.get("</think>")
        both = start is not None and end is not None
        self.think_start = start if both else None
        self.think_end = end if both else None

    @property
    def digit_ids(self) -> tuple[int, ...]:
        """ids of "0".."9", each a token of its own (Qwen3: 15-24)."""
        ids = [self._full.token_to_id(digit) for digit in "0123456789"]
        if None in ids:
            raise PromptError(
                f"{self._name} has no token for the digit {ids.index(None)}: "
                "time markers need single digits; switch time_markers off"
            )
        return tuple(ids)

    def encode_plain(self, text: str) -> list[int]:
        """ids of `text` as ordinary text.

        Raises:
            PromptError: the tokenizer's model itself turns the text into a control token.
        """
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        bad = self.control_ids.intersection(ids)
        if bad:
            token = self._full.id_to_token(min(bad))
            raise PromptError(
                f"{self._name} can't write {token!r} as plain text: remove it from the message"
            )
        return ids

    def encode_with_control(self, text: str) -> list[int]:
        """ids of `text` with control tokens honoured: only for prompts that the caller wrote."""
        return list(self._full.encode(text, add_special_tokens=False).ids)

    def _control(self, token: str) -> int:
        if token not in self._added:
            raise PromptError(f"{self._name} has no {token} token: use a ChatML tokenizer")
        return self._added[token]


def _without_added_tokens(backend: Any) -> Any:
    from tokenizers import Tokenizer

    plain = Tokenizer(backend.model)
    if backend.normalizer is not None:
        plain.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        plain.pre_tokenizer = backend.pre_tokenizer
    return plain
