"""What a mixture holds, before anything is trained on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from moss_audio.data.batch import SetAside
from moss_audio.data.collate import Collator
from moss_audio.data.config import DataConfig, source_name
from moss_audio.data.draw import draw
from moss_audio.data.loader import open_sources
from moss_audio.data.mixture import cost_s, make_sampler, mixture_weights
from moss_audio.data.sources.base import Source
from moss_audio.prompt import PromptSpec
from moss_audio.units import SAMPLE_RATE, num_tokens_of_samples

_BATCHES = 200  # looked at for the padding
_SAMPLE = 20  # examples of a source that are read


@dataclass(frozen=True)
class SourceReport:
    """One source. `share` is its chance to give the next example; `tokens` are estimated from
    lengths; the lists hold tokens of the examples that were read, and why others were unusable."""

    name: str
    kind: str
    group: str
    share: float
    examples: int
    hours: float
    longest_s: float
    tokens: int
    bad_lines: int
    read_tokens: tuple[int, ...] = ()
    read_tasks: tuple[tuple[str, int], ...] = ()
    unusable: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """All sources; `padding` of ids and `audio_padding` of frames over the first batches, by
    lengths alone, and `batch_examples` and `batch_audio_s`, the means of those batches."""

    sources: tuple[SourceReport, ...]
    groups: tuple[tuple[str, float], ...]
    batch_examples: float
    batch_audio_s: float
    padding: float
    audio_padding: float
    took_s: float

    def __str__(self) -> str:
        lines = [
            f"{s.name} ({s.kind}, group {s.group}): {s.examples} examples, {s.hours:.2f} h, "
            f"longest {s.longest_s:.1f} s, about {s.tokens} tokens, drawn {s.share:.1%}"
            + (f", {s.bad_lines} bad lines skipped" if s.bad_lines else "")
            + _of_read(s)
            for s in self.sources
        ]
        lines.append("groups: " + ", ".join(f"{g} {share:.1%}" for g, share in self.groups))
        lines.append(
            f"a batch: {self.batch_examples:.1f} examples, {self.batch_audio_s:.1f} s of audio; "
            f"padding about {self.padding:.1%} of ids, {self.audio_padding:.1%} of frames"
        )
        return "\n".join(lines)


def inspect(
    config: DataConfig, tokenizer: Any = None, spec: PromptSpec | None = None
) -> DataReport:
    """Looks at every source and at the first batches.

    Args:
        config: the mixture.
        tokenizer, spec: if given, a few examples of each source are read and counted exactly.

    Raises:
        MossAudioError: a source that can't be used.
    """
    began = time.perf_counter()
    sources = open_sources(config)
    weights = mixture_weights(config, [len(s) for s in sources])
    collator = None
    if tokenizer is not None and spec is not None:
        collator = Collator(tokenizer, spec, 1, "packed", config.max_tokens, "drop")
    reports = tuple(
        _source(config, at, source, weights[at], collator) for at, source in enumerate(sources)
    )
    shares: Counter[str] = Counter()
    for report in reports:
        shares[report.group] += report.share  # type: ignore[assignment]
    examples, audio_s, padding, audio_padding = _batches(config, sources)
    took_s = time.perf_counter() - began
    groups = tuple(sorted(shares.items()))
    return DataReport(reports, groups, examples, audio_s, padding, audio_padding, took_s)


def _source(
    config: DataConfig, at: int, source: Source, share: float, collator: Collator | None
) -> SourceReport:
    described = config.sources[at]
    audio_tokens = sum(num_tokens_of_samples(round(s * SAMPLE_RATE)) for s in source.audio_s)
    report = SourceReport(
        name=source_name(described),
        kind=described.kind,
        group=described.group,
        share=share,
        examples=len(source),
        hours=float(source.audio_s.sum(dtype=np.float64)) / 3600,
        longest_s=float(source.audio_s.max()),
        tokens=round(audio_tokens + float(source.text_tokens.sum(dtype=np.float64))),
        bad_lines=len(source.bad),
    )
    if collator is None:
        return report
    tokens, tasks, unusable = [], Counter[str](), []
    order = source.order(np.random.default_rng((config.seed, at, 0)))
    for index in order[:_SAMPLE].tolist():
        drawn = draw(source, index, source.id(index), 0, config.seed, config.augment)
        if isinstance(drawn, SetAside):
            unusable.append(drawn)
            continue
        length = len(collator.render(drawn).input_ids)
        if config.max_tokens is not None and length > config.max_tokens:
            unusable.append(SetAside(drawn.id, "over_long", f"{length} tokens"))
        tokens.append(length)
        tasks[drawn.task] += 1
    return replace(
        report,
        read_tokens=tuple(tokens),
        read_tasks=tuple(tasks.most_common()),
        unusable=tuple(unusable),
    )


def _batches(config: DataConfig, sources: Sequence[Source]) -> tuple[float, float, float, float]:
    """Examples and seconds of audio a batch, padding of ids and of frames."""
    costs = [cost_s(source) for source in sources]
    n_batches = n_examples = 0
    audio_s = room_s = frames_s = frame_room_s = 0.0
    used_s = 0.0
    for batch in islice(make_sampler(config, sources, 0, 0, 1), _BATCHES):
        lengths = [float(costs[p.source][p.number]) for p in batch]
        clips = [float(sources[p.source].audio_s[p.number]) for p in batch]
        heard = [s for s in clips if s]
        n_batches += 1
        n_examples += len(batch)
        audio_s += sum(clips)
        used_s += sum(lengths)
        room_s += sum(lengths) if config.layout == "packed" else max(lengths) * len(lengths)
        frames_s += sum(heard)
        frame_room_s += max(heard, default=0.0) * len(heard)
    padding = 1 - used_s / room_s if room_s else 0.0
    audio_padding = 1 - frames_s / frame_room_s if frame_room_s else 0.0
    return n_examples / n_batches, audio_s / n_batches, padding, audio_padding


def _of_read(source: SourceReport) -> str:
    text = ""
    if source.read_tokens:
        mean = sum(source.read_tokens) / len(source.read_tokens)
        tasks = ", ".join(f"{name or 'conversation'} {n}" for name, n in source.read_tasks)
        text = f"; {len(source.read_tokens)} read: {mean:.0f} tokens each, {tasks}"
    if source.unusable:
        first = source.unusable[0]
        text += f"; {len(source.unusable)} unusable, e.g. {first.id}: {first.detail}"
    return text
