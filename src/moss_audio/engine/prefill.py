"""Prompts on their way into sequences, chunk by chunk, and the beginnings that they share.

A prompt is split after its last clip. The part before (system turn, clips) is the *prefix*: its
keys and values depend on the clips alone, so requests on the same clips share it, at once and
later. Every prompt takes the same passes, prefix and rest, each cut every so many positions,
whether or not the prefix was there already: neither reuse nor company can change an answer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence

from moss_audio.engine.clips import ClipInParts
from moss_audio.engine.prompts import EncodedClip, HashedClip, Prompt
from moss_audio.engine.runner import AudioRows, ClipRows, KVCache, Piece, Runner


class Fill:
    """Positions `first` to `end` of a prompt, and the sequence that they go into."""

    def __init__(self, prompt: Prompt, first: int, end: int, cache: KVCache | None = None) -> None:
        self.cache = cache
        self.encoded: Sequence[EncodedClip] = ()
        self._prompt, self._first, self._end = prompt, first, end

    @property
    def ready(self) -> bool:
        return self.cache is not None and self.cache.length >= self._end

    @property
    def clips(self) -> tuple[HashedClip, ...]:
        """What has to be encoded before the next chunk."""
        prompt = self._prompt
        return () if self._first or self.encoded else prompt.clips

    def chunk(self, size: int) -> tuple[int, int]:
        """Where the next chunk begins and ends."""
        first = self.cache.length if self.cache is not None else self._first
        return first, min(first + size, self._end)

    def piece(self, size: int) -> Piece:
        """The next chunk."""
        first, end = self.chunk(size)
        mask = self._prompt.audio_mask[first:end]
        audio = AudioRows(mask, self._rows(first, sum(mask))) if any(mask) else None
        return Piece(self._prompt.input_ids[first:end], audio)

    def _rows(self, first: int, count: int) -> tuple[ClipRows, ...]:
        """`count` audio tokens from position `first` of the prompt on."""
        skipped = sum(self._prompt.audio_mask[:first])
        rows = []
        for clip in self.encoded:
            begin = min(skipped, clip.n_tokens)
            end = min(begin + count, clip.n_tokens)
            skipped, count = skipped - begin, count - (end - begin)
            if end > begin:
                rows.append(ClipRows(clip, begin, end))
        return tuple(rows)


class Prefix(Fill):
    """The beginning of all prompts on the same clips.

    Attributes:
        holders: requests that wait for it, and sessions.
        reuse: keep it for later requests.
    """

    def __init__(self, prompt: Prompt) -> None:
        super().__init__(prompt, 0, prompt.prefix_length)
        self.key = prompt.prefix_key
        self.holders = 0
        self.reuse = False
        self._parts: list[EncodedClip] = []  # clips of it that are encoded, before all are
        self._begun: ClipInParts | None = None

    def encode_part(self, runner: Runner) -> None:
        """Encode one further chunk of its clips; with the last of them it is `encoded`."""
        if self._begun is None:
            self._begun = ClipInParts(self.clips[len(self._parts)], runner)
        encoded = self._begun.step(runner)
        if encoded is not None:
            self._parts.append(encoded)
            self._begun = None
        if len(self._parts) == len(self.clips):
            self.encoded, self._parts = self._parts, []

    @property
    def n_ready(self) -> int:
        """Positions that are computed."""
        return self.cache.length if self.cache is not None else 0

    @property
    def n_bytes(self) -> int:
        return self.cache.n_bytes if self.cache is not None else 0


class Prefixes:
    """Those that are held, or kept for requests that wait or may come; of the kept ones, the least
    recently used go first beyond `max_bytes`.

    Attributes:
        n_bytes: of all that there were when one was last let go.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._wanted: Counter[Hashable] = Counter()
        self._entries: OrderedDict[Hashable, Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def want(self, prompt: Prompt, change: int) -> None:
        """One more request, or one fewer (-1), waits for its turn with this prompt."""
        self._wanted[prompt.prefix_key] += change
        if not self._wanted[prompt.prefix_key]:
            del self._wanted[prompt.prefix_key]
            self._evict()

    def acquire(self, prompt: Prompt) -> Prefix:
        """The prefix of a prompt, computed already or not, held until `release`."""
        prefix = self._entries.setdefault(prompt.prefix_key, Prefix(prompt))
        self._entries.move_to_end(prefix.key)
        prefix.holders += 1
        prefix.reuse = prefix.reuse or prompt.reuse
        return prefix

    def release(self, prefix: Prefix) -> None:
        prefix.holders -= 1
        self._evict()

    def fork(self, prefix: Prefix) -> KVCache:
        """A sequence that begins with a computed prefix; that itself where nobody else wants it."""
        assert prefix.cache is not None
        if prefix.holders > 1 or prefix.reuse or prefix.key in self._wanted:
            return prefix.cache.fork()
        cache, prefix.cache = prefix.cache, None
        return cache

    def clear(self) -> None:
        """Keep none but those that are held."""
        for prefix in self._entries.values():
            prefix.reuse = False
        self._evict()

    def _evict(self) -> None:
        total = sum(prefix.n_bytes for prefix in self._entries.values())
        for key, prefix in list(self._entries.items()):
            wanted = prefix.reuse or key in self._wanted
            kept = wanted and prefix.ready and total <= self.max_bytes
            if not prefix.holders and not kept:
                total -= prefix.n_bytes
                if prefix.cache is not None:
                    prefix.cache.close()
                del self._entries[key]
        self.n_bytes = total
