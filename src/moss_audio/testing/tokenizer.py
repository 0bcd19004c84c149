"""A byte-level ChatML tokenizer of a few hundred tokens, built in memory: no files, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moss_audio.prompt import PromptSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Flagged special or not as in Qwen3, where the think tokens are ordinary added tokens.
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_pad|>")
THINK_TOKENS = ("<think>", "</think>")
# Each becomes one token, and so does every prefix of it.
_WORDS = ("system", "user", "assistant", "the", "ing", "er", "ou")
# Newlines end a token run and digits stand alone, as in Qwen3.
_SPLIT = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tiny_tokenizer(*, think_tokens: bool = True) -> PreTrainedTokenizerFast:
    """A fast tokenizer: all 256 bytes, a few merges, ChatML, `<|vision_pad|>` and think tokens
    (or none, as nano's).

    Any text is encoded and decoded without loss. It does not know the audio start and end
    tokens: as in the released checkpoints their ids lie just past it (`tiny_prompt_spec`).
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []

    def add(left: str, right: str) -> None:
        if left + right not in vocab:
            vocab[left + right] = len(vocab)
            merges.append((left, right))

    for word in _WORDS:
        for end in range(1, len(word)):
            add(word[:end], word[end])
    # Merged newlines make a renderer that splits text at the wrong place fail its tests.
    add("\u010a", "\u010a")  # the byte-level letter for "\n"
    add("\u0120", "t")  # ... and for " "
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    if think_tokens:
        tokenizer.add_tokens([AddedToken(token, special=False) for token in THINK_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def tiny_prompt_spec(*, time_markers: bool = True) -> PromptSpec:
    """The audio ids that belong to `tiny_tokenizer`: its `<|vision_pad|>`, and two just past it."""
    tokenizer = tiny_tokenizer()
    size = len(tokenizer)
    return PromptSpec(
        audio_token_id=tokenizer.convert_tokens_to_ids("<|vision_pad|>"),
        audio_start_id=size,
        audio_end_id=size + 1,
        time_markers=time_markers,
    )
