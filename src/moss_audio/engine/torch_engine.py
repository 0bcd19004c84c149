"""The torch engine: queue, batches, decode loop, and reuse of a clip over many questions.

A prompt is split after its last clip. The part before (system turn, clips) is the *prefix*: its
keys and values depend on the clips alone, so requests on the same clips share it, in one batch
and across calls. Every prompt takes the same two passes, prefix and rest, whether or not the
prefix was there already: reuse cannot change an answer.

Shapes: B rows of a batch, L positions, V vocabulary.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from moss_audio.dsp.mel import log_mel
from moss_audio.engine.base import ClipLike, Generation, GenerationOptions, Request
from moss_audio.engine.kv import GrowingCache, Prefix, Store, join_rows, split_rows
from moss_audio.engine.prompts import EncodedClip, HashedClip, Prompt, similar_lengths
from moss_audio.engine.row import Row, ThinkIds, check_thinking, members
from moss_audio.errors import AudioError, MossAudioError, PromptError
from moss_audio.model.modeling import AudioFeatures, MossAudioModel
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.prompt import ChatVocabulary, render
from moss_audio.units import HOP_SAMPLES, num_frames, num_tokens

REUSE_BYTES = 512 * 2**20  # keys and values kept for further questions
_FEATURE_BYTES = 128 * 2**20  # encoded clips kept beside them
# Prompt positions of a batch, padding included: bounds its memory.
_BATCH_TOKENS = {"cuda": 65_536, "cpu": 16_384, "mps": 16_384}
_BATCH_SIZE = {"cuda": 16, "cpu": 8, "mps": 8}
# What a pass through the decoder costs beside its positions, in positions: on a CPU it soon
# computes all the time, so a second pass is cheaper than padding; a GPU has room to spare.
_PASS_COST = {"cuda": 4096, "cpu": 16, "mps": 512}
# Up to so many rows a CPU is faster at `weights @ rows.T` than at `rows @ weights.T`, which first
# copies all weights into another order.
_FEW_ROWS = 8


class TorchEngine:
    """Runs a `MossAudioModel` in this process.

    Args:
        model: on its device, in its dtype; put into evaluation mode.
        processor: of the same checkpoint.
        batch_size: rows decoded at once; None chooses by device.
        batch_tokens: prompt positions of a batch, padding included; None chooses by device.
        reuse_bytes: memory for the prefixes of clips, least recently used out first.
        window_s: the longest clip that the checkpoint was trained on, None where nobody says.
        thinks: whether the checkpoint thinks before it answers, if it is not told otherwise.

    Not for several threads at once: give each its own engine, or a lock.
    """

    def __init__(
        self,
        model: MossAudioModel,
        processor: MossAudioProcessor,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        reuse_bytes: int = REUSE_BYTES,
        window_s: float | None = None,
        thinks: bool = False,
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.window_s = window_s
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.batch_size = batch_size or _BATCH_SIZE.get(self.device.type, 8)
        self.batch_tokens = batch_tokens or _BATCH_TOKENS.get(self.device.type, 16_384)
        if self.batch_size < 1 or self.batch_tokens < 1:
            raise MossAudioError(
                f"batch_size={batch_size!r}, batch_tokens={batch_tokens!r}: give 1 or more"
            )
        decoder = model.config.language_config
        self.max_positions: int = decoder.max_position_embeddings
        self._chunk_frames: int = model.config.audio_config.chunk_frames
        self._n_layers: int = decoder.num_hidden_layers
        self._spec = processor.prompt_spec
        self._vocabulary = ChatVocabulary(self.tokenizer)
        self._think = ThinkIds.of(self._vocabulary)
        self.thinks = thinks and self.can_think
        self._eos_ids = self._find_eos()
        self._suppressed = torch.tensor(sorted(self._spec.audio_ids), device=self.device)
        self._prefixes: Store[Prefix] = Store(reuse_bytes)
        self._encoded: Store[EncodedClip] = Store(min(reuse_bytes, _FEATURE_BYTES))

    @property
    def can_think(self) -> bool:
        """Whether the checkpoint has think tokens."""
        return self._think is not None

    # ------------------------------------------------------------------ the protocol

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        """Answers in the order of the requests.

        The queue may be of any length: it is sorted by prompt length, so that a batch holds
        prompts of a similar one, and cut into batches of at most `batch_size` rows.

        Args:
            requests: any mix of prompts, clips and options.
            on_result: called with the index and the answer as each request is done.

        Raises:
            MossAudioError: before anything runs, if a request cannot be answered.
        """
        prompts = [self._prepare(request) for request in requests]
        done: list[list[Generation | None]] = [
            [None] * prompt.request.options.num_return_sequences for prompt in prompts
        ]
        for batch in self._batches(prompts):
            rows = [self._row(prompts[index], member) for index, member in batch]
            decode = _Decode(self, [prompts[index] for index, _ in batch], rows)
            while decode.active:
                for place in decode.step():
                    index, member = batch[place]
                    done[index][member] = rows[place].generation()
                    finished = [one for one in done[index] if one is not None]
                    if on_result is not None and len(finished) == len(done[index]):
                        on_result(index, members(finished))
        return [members([one for one in answers if one is not None]) for answers in done]

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        """The answer in pieces of whole characters, as they become certain; returns it whole.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers.
        """
        if request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        prompt = self._prepare(request)
        return self._stream(prompt)

    def encode(self, clip: ClipLike) -> EncodedClip:
        """Encoder, adapter and mergers of a clip `[n]`; the handle stands for it in requests.

        Raises:
            AudioError: if it is no clip.
        """
        return self._encode([self._clip(clip, 0)], keep=True)[0]

    def open(self, clip: ClipLike) -> TorchSession:
        """A session on a clip, encoded and prefilled now.

        Raises:
            AudioError: if it is no clip.
        """
        return TorchSession(self, clip)

    def check(self, request: Request) -> int:
        """Positions of the prompt.

        Raises:
            MossAudioError: what `generate` would raise for this request.
        """
        return len(self._prepare(request).input_ids)

    def forget(self) -> None:
        """Give the memory of reusable clips back."""
        self._prefixes.clear()
        self._encoded.clear()

    # ------------------------------------------------------------------ requests to prompts

    def _find_eos(self) -> frozenset[int]:
        found = {self._vocabulary.im_end}
        sources = (self.model.generation_config, self.model.config.language_config)
        for value in (getattr(source, "eos_token_id", None) for source in sources):
            if value is not None:
                found.update([value] if isinstance(value, int) else value)
        return frozenset(found)

    def _clip(self, clip: ClipLike, index: int) -> HashedClip:
        if isinstance(clip, EncodedClip):
            return HashedClip(
                clip.key, clip.n_tokens, clip.n_frames, clip.samples, clip, clip.longest
            )
        samples = getattr(clip, "samples", clip)  # an Audio holds its samples
        if not isinstance(samples, np.ndarray) or samples.ndim != 1:
            raise AudioError(
                f"clip {index} is a {type(clip).__name__}: give 1-D samples at 16 kHz, as "
                "load_audio makes them"
            )
        n_frames = num_frames(len(samples))
        if n_frames < 1:
            name = getattr(clip, "source", f"clip {index}")
            raise AudioError(
                f"{name} has {len(samples)} samples, too short for an audio token: give at least "
                f"{HOP_SAMPLES} (0.01 s)"
            )
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        key = hashlib.blake2b(samples.data, digest_size=16).hexdigest()
        return HashedClip(
            key, num_tokens(n_frames), n_frames, samples, None, min(n_frames, self._chunk_frames)
        )

    def _prepare(self, request: Request) -> Prompt:
        options = request.options
        check_thinking(options, self._think)
        alone = [self._clip(clip, index) for index, clip in enumerate(request.clips)]
        longest = min(self._chunk_frames, max((clip.n_frames for clip in alone), default=0))
        clips = tuple(clip.beside(longest) for clip in alone)
        rendered = render(
            request.messages,
            [clip.n_tokens for clip in clips],
            self.tokenizer,
            self._spec,
            enable_thinking=options.thinking is not False or self._think is None,
        )
        ids = rendered.input_ids
        room = self.max_positions - len(ids)
        if room < 1:
            raise PromptError(
                f"the prompt has {len(ids)} positions, but this checkpoint has "
                f"{self.max_positions}: shorten the clip (start, end) or the text"
            )
        prefix_length = 0
        if clips:
            prefix_length = len(ids) - ids[::-1].index(self._spec.audio_end_id)
        key = (tuple(ids[:prefix_length]), tuple(clip.key for clip in clips))
        return Prompt(
            request,
            ids,
            rendered.audio_mask,
            clips,
            prefix_length,
            key,
            min(options.max_new_tokens, room),
        )

    def _row(self, prompt: Prompt, member: int) -> Row:
        return Row(
            prompt.request.options,
            member,
            prompt.max_new_tokens,
            len(prompt.input_ids),
            self.tokenizer,
            self._eos_ids,
            self._think,
        )

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[tuple[int, int]]]:
        """(request, member) pairs, longest prompts first: too large a batch then fails early."""
        queue = [
            (index, member)
            for index, prompt in enumerate(prompts)
            for member in range(prompt.request.options.num_return_sequences)
        ]
        # equal prefixes side by side, so that they are computed once
        first: dict[Hashable, int] = {}
        for index, prompt in enumerate(prompts):
            first.setdefault(prompt.prefix_key, index)
        queue.sort(
            key=lambda item: (
                -len(prompts[item[0]].input_ids) // 8,
                first[prompts[item[0]].prefix_key],
            )
        )
        batch: list[tuple[int, int]] = []
        widest = 0
        for item in queue:
            widest = max(widest, len(prompts[item[0]].input_ids))
            full = len(batch) == self.batch_size
            if batch and (full or widest * (len(batch) + 1) > self.batch_tokens):
                yield batch
                batch, widest = [], len(prompts[item[0]].input_ids)
            batch.append(item)
        if batch:
            yield batch

    def _stream(self, prompt: Prompt) -> Generator[str, None, Generation]:
        row = self._row(prompt, 0)
        decode = _Decode(self, [prompt], [row])
        while decode.active:
            decode.step()
            piece = row.take_text()
            if piece:
                yield piece
        return row.generation()

    # ------------------------------------------------------------------ passes through the model

    @torch.inference_mode()
    def _encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        """Encode the clips that are not known yet, all in one pass."""
        known: dict[tuple[str, int], EncodedClip] = {}
        missing: dict[tuple[str, int], HashedClip] = {}
        for clip in clips:
            found = clip.encoded or self._encoded.get(clip.encoding_key)
            if found is not None:
                known[clip.encoding_key] = found
            else:
                missing[clip.encoding_key] = clip
        if missing:
            mels = [
                log_mel(clip.samples, self.processor.n_mels)
                for clip in missing.values()
                if clip.samples is not None
            ]
            frames = torch.tensor([mel.shape[1] for mel in mels])
            data = torch.zeros(len(mels), self.processor.n_mels, int(frames.max()))
            for row, mel in enumerate(mels):
                data[row, :, : mel.shape[1]] = mel
            longest = torch.tensor([clip.longest for clip in missing.values()])
            features = self.model.encode_audio(
                data.to(self.device), frames, torch.maximum(longest, frames)
            )
            first = 0
            for key, clip in missing.items():
                part = slice(first, first + clip.n_tokens)
                first += clip.n_tokens
                known[key] = EncodedClip(
                    clip.key,
                    clip.n_tokens,
                    AudioFeatures(
                        features.embeds[part].clone(),
                        tuple(stream[part].clone() for stream in features.deepstack),
                        (clip.n_tokens,),
                    ),
                    clip.n_frames,
                    clip.longest,
                    clip.samples if clip.n_frames < self._chunk_frames else None,
                )
                if keep:
                    self._encoded.put(key, known[key])
        return [known[clip.encoding_key] for clip in clips]

    @torch.inference_mode()
    def _prefill_prefixes(self, prompts: Sequence[Prompt]) -> list[Prefix | None]:
        """The prefix of each prompt: kept from before, or computed, each different one once."""
        found: dict[Hashable, Prefix] = {}
        missing: dict[Hashable, Prompt] = {}
        for prompt in prompts:
            kept = self._prefixes.get(prompt.prefix_key)
            if kept is not None:
                found[prompt.prefix_key] = kept
            elif prompt.prefix_length:
                missing.setdefault(prompt.prefix_key, prompt)
        if missing:
            todo = list(missing.values())
            keep = [
                any(p.request.reuse and p.prefix_key == key for p in prompts) for key in missing
            ]
            clips = [clip for prompt in todo for clip in prompt.clips]
            encoded = self._encode(clips, keep=any(keep))
            clips_left = iter(encoded)
            encoded_of = [[next(clips_left) for _ in prompt.clips] for prompt in todo]
            # prompts of one length in one pass, so that little of it is padding
            for group in similar_lengths(
                [prompt.prefix_length for prompt in todo], _PASS_COST.get(self.device.type, 512)
            ):
                prefixes = self._compute_prefixes(
                    [todo[index] for index in group],
                    [one for index in group for one in encoded_of[index]],
                )
                for index, prefix in zip(group, prefixes, strict=True):
                    key = todo[index].prefix_key
                    found[key] = prefix.cloned() if keep[index] else prefix
                    if keep[index]:
                        self._prefixes.put(key, found[key])
        return [found.get(prompt.prefix_key) for prompt in prompts]

    def _compute_prefixes(
        self, prompts: Sequence[Prompt], encoded: Sequence[EncodedClip]
    ) -> list[Prefix]:
        """The prefixes of the prompts, in one pass; `encoded`: all their clips, in order."""
        n_streams = len(encoded[0].features.deepstack)
        features = AudioFeatures(
            torch.cat([one.features.embeds for one in encoded]),
            tuple(
                torch.cat([one.features.deepstack[i] for one in encoded]) for i in range(n_streams)
            ),
            tuple(one.n_tokens for one in encoded),
        )
        lengths = [prompt.prefix_length for prompt in prompts]
        ids, mask = self._left_padded(
            [p.input_ids[:n] for p, n in zip(prompts, lengths, strict=True)]
        )
        audio, _ = self._left_padded(
            [p.audio_mask[:n] for p, n in zip(prompts, lengths, strict=True)]
        )
        cache = GrowingCache(self._n_layers)
        self.model.hidden_states(
            input_ids=ids,
            attention_mask=mask,
            position_ids=_positions(mask),
            past_key_values=cache,
            use_cache=True,
            audio_features=features,
            audio_input_mask=audio.bool(),
        )
        return split_rows(cache, lengths)

    def _left_padded(
        self, rows: Sequence[Sequence[int] | Sequence[bool]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and mask `[B, L]`, padded on the left with zeros."""
        width = max(len(row) for row in rows)
        values = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for index, row in enumerate(rows):
            if row:
                values[index, width - len(row) :] = torch.tensor(row, dtype=torch.long)
                mask[index, width - len(row) :] = 1
        return values.to(self.device), mask.to(self.device)

    def _next_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits `[B, V]` after the last position; audio ids can't be chosen."""
        last = hidden[:, -1]
        if self.device.type == "cpu" and 1 < last.shape[0] <= _FEW_ROWS:
            logits = torch.mm(self.model.lm_head.weight, last.T).T.float()
        else:
            logits = self.model.lm_head(last).float()
        return logits.index_fill_(1, self._suppressed, float("-inf"))


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions `[B, L]` that count the real tokens of each row; padding stands at 0."""
    return (mask.cumsum(1) - 1).clamp(min=0)


class _Decode:
    """One batch from its prompts to its answers. Rows leave as they finish."""

    def __init__(self, engine: TorchEngine, prompts: Sequence[Prompt], rows: list[Row]) -> None:
        self._engine = engine
        self._prompts = prompts
        self._rows = rows
        self.active = list(range(len(rows)))  # places of `rows` that are in the batch
        self._cache: GrowingCache | None = None
        self._mask = torch.empty(0)

    @torch.inference_mode()
    def step(self) -> list[int]:
        """One more token for every active row; the places of the rows that it finished."""
        if self._cache is None:
            logits = self._prefill()
        else:
            logits = self._forward([[self._rows[place].tokens[-1]] for place in self.active])
        self._choose(logits)
        finished = [p for p in self.active if self._rows[p].finish_reason is not None]
        if finished:
            keep = [i for i, p in enumerate(self.active) if self._rows[p].finish_reason is None]
            self.active = [self.active[i] for i in keep]
            if keep:
                index = torch.tensor(keep, device=self._mask.device)
                self._cache.keep_rows(index)  # type: ignore[union-attr]
                self._mask = self._mask.index_select(0, index)
            else:
                self._cache = None
        return finished

    def _prefill(self) -> torch.Tensor:
        engine = self._engine
        prefixes = engine._prefill_prefixes(self._prompts)
        self._cache = join_rows(engine._n_layers, prefixes)
        lengths = [prefix.length if prefix is not None else 0 for prefix in prefixes]
        _, self._mask = engine._left_padded([[0] * length for length in lengths])
        return self._forward([p.input_ids[p.prefix_length :] for p in self._prompts])

    def _forward(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        engine = self._engine
        values, mask = engine._left_padded(ids)
        self._mask = torch.cat([self._mask, mask], dim=1)
        outputs = engine.model.hidden_states(
            input_ids=values,
            attention_mask=self._mask,
            position_ids=_positions(self._mask)[:, -values.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
        )
        return engine._next_logits(outputs.last_hidden_state)

    def _choose(self, logits: torch.Tensor) -> None:
        likeliest = logits.argmax(dim=1).tolist()
        for i, place in enumerate(self.active):
            row = self._rows[place]
            if row.forced is not None:
                token = row.forced
            elif row.sampler.greedy:
                token = likeliest[i]
            else:
                token = row.sampler.pick(logits[i].cpu())
            row.push(token)


class TorchSession:
    """One clip, encoded and prefilled, for any number of questions; `close` frees it."""

    def __init__(self, engine: TorchEngine, clip: ClipLike) -> None:
        self.clip = engine.encode(clip)
        self._engine = engine
        prompt = engine._prepare(Request.question("?", self.clip))
        engine._prefixes.pin(prompt.prefix_key)
        # also when the session is dropped without `close`
        self._unpin = weakref.finalize(self, engine._prefixes.unpin, prompt.prefix_key)
        engine._prefill_prefixes([prompt])

    def ask(self, question: str, options: GenerationOptions | None = None) -> Generation:
        """The answer to a question about the clip."""
        return self._engine.generate([self._request(question, options)])[0]

    def stream(self, question: str, options: GenerationOptions | None = None) -> Iterator[str]:
        """The answer in pieces."""
        return self._engine.stream(self._request(question, options))

    def close(self) -> None:
        """The clip's prefix may be forgotten from now on."""
        self._unpin()

    def __enter__(self) -> TorchSession:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _request(self, question: str, options: GenerationOptions | None) -> Request:
        return Request.question(question, self.clip, options=options)
