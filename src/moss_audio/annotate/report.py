"""The final report of an annotation run: one HTML file that needs nothing else, not even a network.

It counts all segments in one pass with bounded memory, and shows a seeded sample of them with
sound, timeline, tool results, caption and conversations.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from moss_audio import __version__
from moss_audio.annotate import reporting
from moss_audio.annotate.records import COARSE_CLASSES
from moss_audio.annotate.reporting import charts, reading
from moss_audio.annotate.reporting import statistics as counted
from moss_audio.annotate.reporting.cards import make_card, readable, short
from moss_audio.annotate.reporting.counting import fair_limit
from moss_audio.annotate.reporting.drawing import OPUS_BITS_PER_S
from moss_audio.annotate.reporting.timeline import clock
from moss_audio.errors import MossAudioError
from moss_audio.plot import mel_height
from moss_audio.writers import write_atomic

_HERTZ = (("4 kHz", 4000.0), ("2 kHz", 2000.0), ("1 kHz", 1000.0), ("500 Hz", 500.0))

REPORT = "report.html"
MAX_SAMPLES = 40
# Shared by all samples, so that the page with twenty of them stays below 15 MB whatever they hold.
_SOUND_BYTES = 5_000_000  # before base64: twenty samples of 80 s each
_TIMELINE_ITEMS = 12_000
_TABLE_ROWS = 8_000


def write_report(out: Path, *, seed: int = 0, samples: int = 20) -> Path:
    """Writes `report.html` into an annotation folder, whole or not at all; equal folders and
    arguments give equal bytes.

    Args:
        out: holds `segments.jsonl` or `segments/*.jsonl`, and perhaps `aside.jsonl`
            (`path`, `reason`) and `timing.jsonl` (`step`, `audio_s`, `wall_s`).
        seed: draws the samples.
        samples: how many segments to show, at most `MAX_SAMPLES`; spread over speech, music,
            general sound and silence.

    Returns:
        The path of the file.

    Raises:
        MossAudioError: for a folder without segments, a line that cannot be read, or a number of
            samples that the page could not hold.
    """
    if not 0 <= samples <= MAX_SAMPLES:
        raise MossAudioError(f"samples {samples}: a report shows 0 to {MAX_SAMPLES} segments")
    out = Path(out)
    statistics, sampler = counted.Statistics(), reading.SegmentSampler(samples, seed)
    for segment in reading.read_segments(out):
        statistics.add(segment)
        sampler.add(segment)
    for row in reading.read_aside(out):
        statistics.add_aside(row)
    for row in reading.read_timing(out):
        statistics.add_timing(row)
    drawn = sampler.draw()
    most_s = fair_limit([one.duration_s for one in drawn], 8 * _SOUND_BYTES / OPUS_BITS_PER_S)
    cards = [
        make_card(
            out,
            segment,
            number,
            most_s=most_s,
            most_items=_TIMELINE_ITEMS // len(drawn),
            most_rows=_TABLE_ROWS // len(drawn),
        )
        for number, segment in enumerate(drawn, 1)
    ]
    target = out / REPORT
    write_atomic(target, _page(statistics, cards, seed))
    return target


def _page(statistics: counted.Statistics, cards: Sequence[Mapping[str, Any]], seed: int) -> str:
    """The whole HTML file, the same for the same arguments."""
    script, style = _resource("script.js"), _resource("style.css")
    # The browser itself then refuses the network, and every script but ours.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "amount": _amount, "clock": clock, "count": "{:,}".format, "group": counted.group_of,
        "leading": counted.leading_class, "number": charts.number, "plain": _plain,
        "readable": readable, "short": short,
    }  # fmt: skip
    shown = {counted.group_of(card["segment"]) for card in cards}
    template = environment.from_string(_resource("template.html.j2"))
    return template.render(
        version=__version__,
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        s=statistics,
        charts=charts,
        classes=COARSE_CLASSES,
        decisions=counted.DECISIONS,
        present=counted.PRESENT,
        cards=cards,
        groups=[name for name in counted.GROUPS if name in shown],
        hertz=[(text, round(100 * mel_height(hz), 1)) for text, hz in _HERTZ],
        seed=seed,
    )


def _amount(seconds: float) -> str:
    """A length of time in the unit that reads best."""
    if seconds >= 3600:
        return f"{charts.number(seconds / 3600)} h"
    if seconds >= 60:
        return f"{charts.number(seconds / 60)} min"
    return f"{charts.number(seconds)} s"


def _plain(value: float) -> str:
    """A coordinate without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _resource(name: str) -> str:
    return resources.files(reporting).joinpath(name).read_text(encoding="utf-8")
