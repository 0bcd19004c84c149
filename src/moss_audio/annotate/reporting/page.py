"""The page: statistics and cards through one template that escapes everything from the data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from moss_audio import __version__
from moss_audio.annotate.records import COARSE_CLASSES
from moss_audio.annotate.reporting import charts
from moss_audio.annotate.reporting.cards import readable, short
from moss_audio.annotate.reporting.statistics import (
    DECISIONS,
    GROUPS,
    PRESENT,
    Statistics,
    group_of,
    leading_class,
)
from moss_audio.annotate.reporting.timeline import clock
from moss_audio.plot import mel_height

_HERTZ = (("4 kHz", 4000.0), ("2 kHz", 2000.0), ("1 kHz", 1000.0), ("500 Hz", 500.0))


def render_page(statistics: Statistics, cards: Sequence[Mapping[str, Any]], *, seed: int) -> str:
    """The whole HTML file, the same for the same arguments."""
    script, style = _resource("script.js"), _resource("style.css")
    # The browser itself then refuses the network, and every script but ours.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "amount": _amount, "clock": clock, "count": "{:,}".format, "group": group_of,
        "leading": leading_class, "number": charts.number, "plain": _plain, "readable": readable,
        "short": short,
    }  # fmt: skip
    template = environment.from_string(_resource("template.html.j2"))
    return template.render(
        version=__version__,
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        s=statistics,
        charts=charts,
        classes=COARSE_CLASSES,
        decisions=DECISIONS,
        present=PRESENT,
        cards=cards,
        groups=[name for name in GROUPS if any(group_of(c["segment"]) == name for c in cards)],
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
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
