"""The report of a run: report.json with everything, report.md to be read."""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from moss_audio import __version__
from moss_audio.evaluate.figures import ALL, Figure, figures
from moss_audio.evaluate.item import Dataset
from moss_audio.evaluate.paired import EarlierRun, differences
from moss_audio.evaluate.plan import Outcome, Part, Plan
from moss_audio.evaluate.run import SuiteRun
from moss_audio.files import write_atomic
from moss_audio.metrics.bootstrap import LEVEL, RESAMPLES, SEED

_PACKAGES = ("torch", "transformers", "numpy", "jiwer", "whisper-normalizer")
_SHOWN = 20  # failures that the readable report lists; the JSON has them all


def build(
    plan: Plan,
    ran: SuiteRun,
    *,
    model: str,
    fingerprint: str,
    command: str,
    limit: int | None,
    earlier: Sequence[EarlierRun] = (),
) -> dict[str, Any]:
    """Everything there is to say about a run, as plain JSON types; `earlier`: runs that it is
    compared with."""
    made = figures(plan, ran.outcomes)
    parts = [_part(part, rows) for part, rows in zip(plan.parts, ran.outcomes, strict=True)]
    return {
        "suite": plan.suite,
        "suite_version": plan.version,
        "model": model,
        "model_hash": fingerprint,
        "command": command,
        "limit": limit,
        "versions": {"moss-audio": __version__, "python": platform.python_version(), **_versions()},
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "over": plan.over},
        "figures": [_finite(asdict(figure)) for figure in made],
        "differences": [_finite(asdict(one)) for one in differences(plan, ran.outcomes, earlier)],
        "data": parts,
        "absent": [{"part": part, "reason": reason} for part, reason in plan.absent],
        "failed": [
            {"part": part.name, "id": outcome.item.id, "error": outcome.error}
            for part, rows in zip(plan.parts, ran.outcomes, strict=True)
            for outcome in rows
            if outcome.error is not None
        ],
    }


def _part(part: Part, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    used = Dataset([o.item for o in outcomes], part.dataset.about)
    warnings = Counter(
        _general(w) for o in outcomes if o.result is not None for w in o.result.warnings
    )
    return {
        "part": part.name,
        "about": part.dataset.about,
        "notes": list(part.dataset.notes),
        "items": len(outcomes),
        "items_in_set": len(part.dataset.items),
        "answered": sum(o.result is not None for o in outcomes),
        "hours": round(math.fsum(o.seconds for o in outcomes) / 3600, 4),
        "items_hash": used.digest(),
        "asked": part.call.method,
        "options": part.call.options,
        "prompt_of_first": part.call.wording(outcomes[0].item) if outcomes else "",
        "warnings": dict(warnings.most_common()),
    }


def _general(warning: str) -> str:
    """A warning without its numbers, so that equal ones are counted together."""
    return " ".join("N" if word.strip("().,").isdigit() else word for word in warning.split())


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in data.items()
    }


def write(folder: Path, report: dict[str, Any]) -> tuple[Path, Path]:
    """`report.json` and `report.md`, each whole or not at all. Raises MossAudioError."""
    paths = folder / "report.json", folder / "report.md"
    write_atomic(paths[0], json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    write_atomic(paths[1], markdown(report))
    return paths


def markdown(report: dict[str, Any]) -> str:
    """The report as a page, by `report.md.j2`."""
    made = [Figure(**row) for row in report["figures"]]
    notes = [f"{row['part']}: {note}" for row in report["data"] for note in row["notes"]]
    notes += [f"{row['part']}: not measured, {row['reason']}" for row in report["absent"]]
    notes += [
        f"{row['part']}: {count} answers: {warning}"
        for row in report["data"]
        for warning, count in row["warnings"].items()
    ]
    page = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    page.filters |= {"line": _one_line, "cell": lambda t: _one_line(t).replace("|", "\\|")}
    page.globals |= {"number": _number, "value": _value, "bar": _bar, "shown": _SHOWN}
    template = (files(__package__) / "report.md.j2").read_text(encoding="utf-8")
    return page.from_string(template).render(
        report,
        whole=[figure for figure in made if figure.group == ALL],
        groups=[figure for figure in made if figure.group != ALL],
        differing=[Figure(**row) for row in report["differences"]],
        notes=notes,
    )


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.{_digits(unit)}f} {unit}".rstrip()


def _digits(unit: str) -> int:
    return 1 if unit in ("%", "ms", "points") else 2


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "not measured"
    text = f"**{_number(figure.value, figure.unit)}**"
    if figure.low is not None and figure.high is not None:
        digits = _digits(figure.unit)
        text += f" [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
    return text


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    sign = "≤" if figure.better == "lower" else "≥"
    text = f"{sign} {_number(figure.bar, figure.unit)}"
    if figure.value is not None:
        met = figure.value <= figure.bar if figure.better == "lower" else figure.value >= figure.bar
        text += ": met" if met else ": not met"
    if figure.aim is not None:
        text += f" (aim {_number(figure.aim, figure.unit)})"
    return text
