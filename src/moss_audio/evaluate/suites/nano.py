"""Nano's held-out figures: a human speaker, read speech, an unseen synthetic voice in noise,
babble, word times, event timelines, questions about time and music, captions, and clips without
speech.

The data folder holds composed scenes (or has them in `scenes/`), and readings in `readings/` or
beside it; all but the human prompts come from the split `test-unseen`: voices, sentences and
recordings of sounds that training never saw. The human prompts are a Debian package
(`moss_audio.evaluate.loaders.prompts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders import prompts
from moss_audio.evaluate.loaders import scenes as scene_items
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.plan import Call, Measure, Outcome, Part, Plan, Share
from moss_audio.evaluate.suites.asr import error_share
from moss_audio.evaluate.suites.facts import scene_measures
from moss_audio.evaluate.suites.questions import (
    best_constant,
    right_share,
    uniform_chance,
    unread_share,
)
from moss_audio.evaluate.suites.timestamps import MATCHED, MEAN
from moss_audio.evaluate.suites.timestamps import measures as time_measures
from moss_audio.metrics.counts import MatchCounts
from moss_audio.metrics.events import event_based, segment_based, timeline_iou
from moss_audio.result import Timeline, Transcript
from moss_audio.text import normalize_words

# 2: as many questions of each kind as the scenes allow, up to 64. 3: read speech, and babble.
VERSION = 3
TIME_KINDS = ("at", "when", "order", "duration", "count")
MUSIC_KINDS = ("tempo", "mode", "instrument")
LONGER_WORDS = 4
WER = "word error rate"
_ACCURACY = Measure("accuracy", right_share, failed=True, grouped=True)
_UNREAD = Measure("answers that cannot be read", unread_share, better="lower")


def plan(data: Path) -> Plan:
    """Every line of the table of held-out figures. Raises MossAudioError without scenes."""
    found = scene_items.scenes(data)
    speech = scene_items.speech(found)
    absent = []
    parts = []
    human, read = Dataset((), ""), Dataset((), "")
    try:
        human = prompts.load()
        parts.append(Part("human", human, Call("transcribe"), human_measures()))
    except DataError as error:
        absent.append(("human", str(error)))
    try:
        read = scene_items.readings(data)
    except MossAudioError as error:
        absent.append(("read speech", str(error)))
    # Who talks behind them: other voices that training never heard.
    talkers = read.items or speech.items
    babble = scene_items.in_babble
    wer = Measure(WER, error_share(), better="lower", grouped=True)
    noisy = Measure(WER, error_share(), better="lower", grouped=True, bar=20, aim=10)
    timed = Call("transcribe", {"timestamps": "word"})
    # (name, items, call, measures)
    rest: tuple[tuple[str, Dataset, Call, tuple[Measure, ...]], ...] = (
        ("human in babble", babble(human, talkers), Call("transcribe"), babble_measures()),
        ("read speech", read, Call("transcribe"), read_measures()),
        ("read speech in babble", babble(read, talkers), Call("transcribe"), babble_measures()),
        ("voice", speech, Call("transcribe"), (wer,)),
        ("voice in noise", scene_items.noisy(speech), Call("transcribe"), (noisy,)),
        ("word times", speech, timed, word_time_measures()),
        ("events", scene_items.events(found), Call("events"), event_measures()),
        ("time questions", scene_items.asked(found, TIME_KINDS), Call("ask"),
         (replace(_ACCURACY, baseline=best_constant, bar=70, aim=85), _UNREAD)),
        ("music questions", scene_items.asked(found, MUSIC_KINDS), Call("ask"),
         (replace(_ACCURACY, baseline=uniform_chance, baseline_name="chance"), _UNREAD)),
        ("captions", scene_items.captioned(found), Call("caption"), scene_measures()),
        ("no speech", scene_items.quiet(found), Call("transcribe"), (_INVENTED,)),
        ("no speech, word times", scene_items.quiet(found), timed, (_INVENTED,)),
    )  # fmt: skip
    for name, dataset, call, measures in rest:
        if dataset.items:
            parts.append(Part(name, dataset, call, measures))
        elif name not in dict(absent):
            absent.append((name, "the scenes hold nothing for it"))
    return Plan("nano", VERSION, tuple(parts), tuple(absent))


def human_measures() -> tuple[Measure, ...]:
    """Word error of all prompts, and of those long enough to have a context."""
    share = error_share()
    return (
        Measure(WER, share, better="lower", bar=20),
        Measure(f"{WER}, {LONGER_WORDS} words and more", share, better="lower", where=_longer),
    )


def read_measures() -> tuple[Measure, ...]:
    """Word error of all readings, and of the long ones."""
    share = error_share()
    return (
        Measure(WER, share, better="lower", bar=14, aim=7),
        Measure(
            f"{WER}, {scene_items.LONG_S:g} s and more", share, better="lower",
            where=scene_items.is_long,
        ),
    )  # fmt: skip


def babble_measures() -> tuple[Measure, ...]:
    """Word error of all clips, by level, and of those long enough to have a context."""
    share = error_share()
    return (
        Measure(WER, share, better="lower", grouped=True),
        Measure(
            f"{WER}, {LONGER_WORDS} words and more", share, better="lower", where=_longer,
            bar=40, aim=28,
        ),
    )  # fmt: skip


def _longer(item: Item) -> bool:
    return len(normalize_words(item.reference or "")) >= LONGER_WORDS


def word_time_measures() -> tuple[Measure, ...]:
    """Those of timestamp ASR, with nano's bars."""
    bars: dict[str, tuple[float, float | None]] = {MEAN: (120, 60), MATCHED: (80, None)}
    return tuple(
        replace(measure, bar=bars[measure.name][0], aim=bars[measure.name][1])
        if measure.name in bars
        else measure
        for measure in time_measures()
    )


def event_measures() -> tuple[Measure, ...]:
    """Event-based F1 at 200 ms with labels and without, segment-based F1 at 1 s, overlap."""
    return (
        _f1("event-based F1 at 200 ms", event_based, bar=0.6, aim=0.8),
        _f1("the same without labels", lambda a, b: event_based(a, b, labels=False)),
        _f1("segment-based F1 at 1 s", segment_based),
        Measure("intersection over union", _iou, unit="", scale=1.0),
    )


def _f1(
    name: str,
    count: Callable[[Timeline, Timeline], MatchCounts],
    bar: float | None = None,
    aim: float | None = None,
) -> Measure:
    def share(outcome: Outcome) -> Share | None:
        if not isinstance(outcome.result, Timeline):
            return None
        counts = count(_truth(outcome), outcome.result)
        return 2 * counts.hits, counts.references + counts.predictions

    return Measure(name, share, unit="", scale=1.0, bar=bar, aim=aim)


def _iou(outcome: Outcome) -> Share | None:
    if not isinstance(outcome.result, Timeline):
        return None
    counts = timeline_iou(_truth(outcome), outcome.result)
    return counts.intersection_s, counts.union_s


def _truth(outcome: Outcome) -> Timeline:
    return Timeline(outcome.item.events, outcome.seconds)


def _invented(outcome: Outcome) -> Share | None:
    if not isinstance(outcome.result, Transcript):
        return None
    return len(normalize_words(outcome.result.text)), outcome.seconds / 60


_INVENTED = Measure(  # where nobody speaks
    "invented words a minute", _invented, unit="/min", scale=1.0, better="lower", grouped=True,
    bar=1, aim=0,
)  # fmt: skip
