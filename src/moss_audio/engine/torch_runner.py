"""The runner on torch: passes through a `MossAudioModel`, and reuse of a clip over many questions.

A prompt is split after its last clip. The part before (system turn, clips) is the *prefix*: its
keys and values depend on the clips alone, so requests on the same clips share it, in one batch
and across calls. Every prompt takes the same two passes, prefix and rest, whether or not the
prefix was there already: reuse cannot change an answer.

Shapes: B rows of a batch, L positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch.nn import functional as F

from moss_audio.dsp.mel import log_mel
from moss_audio.engine.kv import GrowingCache, LruStore, Prefix, join_rows, split_rows
from moss_audio.engine.prompts import EncodedClip, HashedClip, Prompt, similar_lengths
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.padding import left_padded, padded_mels

_FEATURE_BYTES = 128 * 2**20  # encoded clips kept beside keys and values
# Prompt positions of a batch, padding included: bounds its memory.
_BATCH_TOKENS = {"cuda": 65_536, "cpu": 16_384, "mps": 16_384}
_BATCH_SIZE = {"cuda": 16, "cpu": 8, "mps": 8}
# What a pass through the decoder costs beside its positions, in positions: on a CPU it soon
# computes all the time, so a second pass is cheaper than padding; a GPU has room to spare.
_PASS_COST = {"cuda": 4096, "cpu": 16, "mps": 512}
# Up to so many rows a CPU is faster at `weights @ rows.T` than at `rows @ weights.T`, which first
# copies all weights into another order.
_FEW_ROWS = 8


class TorchRunner:
    """`Runner` on a `MossAudioModel` in this process.

    Args:
        model: on its device, in its dtype; put into evaluation mode.
        suppressed: ids that are never generated: those of audio.
        reuse_bytes: memory for the prefixes of clips, least recently used out first.
    """

    def __init__(
        self, model: MossAudioModel, suppressed: Collection[int], *, reuse_bytes: int
    ) -> None:
        self.model = model.eval()
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.batch_size = _BATCH_SIZE.get(self.device.type, 8)
        self.batch_tokens = _BATCH_TOKENS.get(self.device.type, 16_384)
        decoder, encoder = model.config.language_config, model.config.audio_config
        self.max_positions: int = decoder.max_position_embeddings
        self.chunk_frames: int = encoder.chunk_frames
        self.eos_ids = _eos_ids(model)
        self._n_layers: int = decoder.num_hidden_layers
        self._n_mels: int = encoder.num_mel_bins
        self._suppressed = torch.tensor(sorted(suppressed), device=self.device)
        self._prefixes: LruStore[Prefix] = LruStore(reuse_bytes)
        self._encoded: LruStore[EncodedClip] = LruStore(min(reuse_bytes, _FEATURE_BYTES))

    @torch.inference_mode()
    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
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
            for one in self._encode(list(missing.values())):
                known[one.encoding_key] = one
                if keep:
                    self._encoded.put(one.encoding_key, one)
        return [known[clip.encoding_key] for clip in clips]

    @torch.inference_mode()
    def start(self, prompts: Sequence[Prompt]) -> TorchDecoding:
        """Rows after their prompts: the prefixes, each different one once, then the rest."""
        prefixes = self._prefill(prompts)
        _, mask = left_padded([[0] * (prefix.length if prefix else 0) for prefix in prefixes])
        decoding = TorchDecoding(self, join_rows(self._n_layers, prefixes), mask.to(self.device))
        decoding.extend([prompt.input_ids[prompt.prefix_length :] for prompt in prompts])
        return decoding

    @torch.inference_mode()
    def hold(self, prompt: Prompt) -> Callable[[], None]:
        """Prefill a prompt's prefix and keep it; the returned function lets it go."""
        self._prefixes.pin(prompt.prefix_key)
        self._prefill([prompt])
        return partial(self._prefixes.unpin, prompt.prefix_key)

    @torch.inference_mode()
    def piece_scores(self, clip: EncodedClip, scale: float) -> np.ndarray:
        """Log-probabilities `[audio tokens, V]`, float32."""
        unit = F.normalize(clip.features.embeds.float(), dim=-1)
        scores: np.ndarray = (unit @ self._unit_pieces.T * scale).log_softmax(-1).cpu().numpy()
        return scores

    def forget(self) -> None:
        """Give the memory of reusable clips back."""
        self._prefixes.clear()
        self._encoded.clear()

    def next_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits `[B, V]` after the last of `hidden` `[B, L, H]`; suppressed ids are at
        -inf."""
        last = hidden[:, -1]
        if self.device.type == "cpu" and 1 < last.shape[0] <= _FEW_ROWS:
            logits = torch.mm(self.model.lm_head.weight, last.T).T.float()
        else:
            logits = self.model.lm_head(last).float()
        return logits.index_fill_(1, self._suppressed, float("-inf"))

    @cached_property
    def _unit_pieces(self) -> torch.Tensor:
        table: torch.Tensor = self.model.get_input_embeddings().weight
        return F.normalize(table.detach().float(), dim=-1)

    def _encode(self, clips: Sequence[HashedClip]) -> list[EncodedClip]:
        """Encodings of clips, in one pass."""
        mels = [log_mel(clip.samples, self._n_mels) for clip in clips if clip.samples is not None]
        data, frames = padded_mels(mels)
        longest = torch.tensor([clip.longest for clip in clips])
        features = self.model.encode_audio(
            data.to(self.device), frames, torch.maximum(longest, frames)
        )
        out = []
        first = 0
        for clip in clips:
            part = slice(first, first + clip.n_tokens)
            first += clip.n_tokens
            own = AudioFeatures(
                features.embeds[part].clone(),
                tuple(stream[part].clone() for stream in features.deepstack),
                (clip.n_tokens,),
            )
            samples = clip.samples if clip.n_frames < self.chunk_frames else None
            n_bytes = own.n_bytes + (0 if samples is None else samples.nbytes)
            out.append(
                EncodedClip(
                    clip.key, clip.n_tokens, own, n_bytes, clip.n_frames, clip.longest, samples
                )
            )
        return out

    def _prefill(self, prompts: Sequence[Prompt]) -> list[Prefix | None]:
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
            reused = {prompt.prefix_key for prompt in prompts if prompt.request.reuse}
            for key, prefix in self._compute_prefixes(list(missing.values()), reused):
                found[key] = prefix.cloned() if key in reused else prefix
                if key in reused:
                    self._prefixes.put(key, found[key])
        return [found.get(prompt.prefix_key) for prompt in prompts]

    def _compute_prefixes(
        self, prompts: Sequence[Prompt], reused: Collection[Hashable]
    ) -> list[tuple[Hashable, Prefix]]:
        """The prefixes of prompts, those of similar length in one pass: little of it is padding."""
        clips = [clip for prompt in prompts for clip in prompt.clips]
        left = iter(self.encode(clips, keep=any(p.prefix_key in reused for p in prompts)))
        encoded = [[next(left) for _ in prompt.clips] for prompt in prompts]
        cost = _PASS_COST.get(self.device.type, 512)
        out = []
        for group in similar_lengths([prompt.prefix_length for prompt in prompts], cost):
            prefixes = self._one_pass(
                [prompts[index] for index in group],
                [one for index in group for one in encoded[index]],
            )
            keys = [prompts[index].prefix_key for index in group]
            out += list(zip(keys, prefixes, strict=True))
        return out

    def _one_pass(self, prompts: Sequence[Prompt], encoded: Sequence[EncodedClip]) -> list[Prefix]:
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
        ids, mask = left_padded([p.input_ids[: p.prefix_length] for p in prompts])
        audio, _ = left_padded([p.audio_mask[: p.prefix_length] for p in prompts])
        mask = mask.to(self.device)
        cache = GrowingCache(self._n_layers)
        self.model.hidden_states(
            input_ids=ids.to(self.device),
            attention_mask=mask,
            position_ids=_positions(mask),
            past_key_values=cache,
            use_cache=True,
            audio_features=features,
            audio_input_mask=audio.bool().to(self.device),
        )
        return split_rows(cache, lengths)


class TorchDecoding:
    """`Decoding` of a `TorchRunner`: a left-padded cache and the logits after it.

    Args:
        mask: `[B, L]`, 1 where the cache holds a position.
    """

    def __init__(self, runner: TorchRunner, cache: GrowingCache, mask: torch.Tensor) -> None:
        self._runner = runner
        self._cache = cache
        self._mask = mask
        self._logits = torch.empty(0)

    @torch.inference_mode()
    def extend(self, ids: Sequence[Sequence[int]]) -> None:
        """Append ids to each row and compute the logits after them."""
        runner = self._runner
        values, mask = left_padded(ids)
        self._mask = torch.cat([self._mask, mask.to(runner.device)], dim=1)
        outputs = runner.model.hidden_states(
            input_ids=values.to(runner.device),
            attention_mask=self._mask,
            position_ids=_positions(self._mask)[:, -values.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._logits = runner.next_logits(outputs.last_hidden_state)

    def advance(self, tokens: Sequence[int]) -> None:
        """Append a token to each row `[B]` and compute what comes next."""
        self.extend([[token] for token in tokens])

    def likeliest(self) -> list[int]:
        """The likeliest next token of each row `[B]`."""
        tokens: list[int] = self._logits.argmax(dim=1).tolist()
        return tokens

    def logits(self, row: int) -> torch.Tensor:
        """Float32 logits `[V]` of a row's next token, on the CPU."""
        return self._logits[row].cpu()

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, in this order."""
        index = torch.tensor(rows, device=self._mask.device)
        self._cache.keep_rows(index)
        self._mask = self._mask.index_select(0, index)
        self._logits = self._logits.index_select(0, index)


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions `[B, L]` that count the real tokens of each row; padding stands at 0."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _eos_ids(model: MossAudioModel) -> frozenset[int]:
    found: set[int] = set()
    for source in (model.generation_config, model.config.language_config):
        value = getattr(source, "eos_token_id", None)
        if value is not None:
            found.update([value] if isinstance(value, int) else value)
    return frozenset(found)
