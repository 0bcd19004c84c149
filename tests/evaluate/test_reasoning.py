"""The suite on derived questions: what is asked of which clip, what each part measures on answers
that are known, intervals over clips, and runs set against each other."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.cli import main
from moss_audio.engine.base import Generation, Request
from moss_audio.errors import MossAudioError
from moss_audio.evaluate import report
from moss_audio.evaluate.figures import ALL, Figure, figures, of_measure
from moss_audio.evaluate.item import Item
from moss_audio.evaluate.loaders import reasoning as derived
from moss_audio.evaluate.paired import differences, read_run
from moss_audio.evaluate.plan import Measure, Outcome, Plan
from moss_audio.evaluate.run import SuiteRun, run
from moss_audio.evaluate.store import AnswerFile
from moss_audio.evaluate.suites import plan
from moss_audio.evaluate.suites.reasoning import (
    ANSWERS,
    OFF,
    ON,
    PROGRAM,
    RIGHT,
    without_listening,
)
from moss_audio.result import Event, Timeline
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reasoning.balance import best_constant
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.thought import think
from moss_audio.scenes.reasoning.timeline import in_tenths, sounds, word_events
from moss_audio.tasks.reason import Fact, told
from tests.evaluate.fakes import FakeModel
from tests.scene_files import write_shard
from tests.train.conftest import write_model

LABELS = ("bell", "dog barking", "rain", "thunder", "siren", "cow", "cat", "door")
SECONDS, CLIPS = 12.0, 24


def _scene(rng: random.Random, spoken: bool) -> dict[str, Any]:
    events, at = [], rng.uniform(0.2, 1.5)
    for label in rng.choices(LABELS, k=rng.choice((2, 3, 3, 4))):
        end = at + rng.uniform(0.4, 2.0)
        events.append({"label": label, "start": at, "end": end, "source": "made"})
        at = end + rng.uniform(0.45, 1.5)
    truth: dict[str, Any] = {"split": "test-unseen", "events": events}
    if spoken:  # over the first two sounds, three words
        start, end = events[0]["start"] + 0.1, events[1]["end"]
        step = (end - start) / 3
        said = [("river", start), ("green", start + step), ("stone.", start + 2 * step)]
        truth["words"] = [{"text": w, "start": t, "end": t + 0.8 * step} for w, t in said]
        truth["sentences"] = [{"text": "river green stone.", "start": start, "end": end}]
        del events[3:]
    return truth


@pytest.fixture(scope="module")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each clip is a constant that tells its number; 0 is silence."""
    rng = random.Random(0)
    made = [("mixed" if n % 3 else "events", SECONDS, _scene(rng, n % 3 > 0)) for n in range(CLIPS)]

    def sound(number: int, kind: str, seconds: float) -> np.ndarray:
        return np.full(round(seconds * 16_000), 100 * (number + 1))

    return write_shard(tmp_path_factory.mktemp("derived"), made, sound)


class Listener(FakeModel):
    """Knows what is heard in each clip. It is right where it is told to think, and where nothing is
    said `right` of the time; otherwise it says nothing to the point."""

    def __init__(self, planned: Plan, right: float = 0.0) -> None:
        super().__init__()
        items = planned.parts[0].dataset.items
        scenes: dict[float, Any] = {one.audio[0].load().samples[0]: one.audio[0] for one in items}
        self._heard = {
            key: in_tenths([*(Event(*e) for e in timeline(one)), *word_events(one.words)])
            for key, one in scenes.items()
        }
        self._problems = {item.question: derived.problem_of(item) for item in items}
        self._right = right
        self.engine.generate = self._generate

    def _generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        rows = [Generation(self._said(one), (1, 2), "stop", 1) for one in requests]
        for number, row in enumerate(rows):
            if on_result is not None:
                on_result(number, row)
        return rows

    def _said(self, request: Request) -> str:
        question = request.messages[0]["content"][-1]["text"]
        events = self._heard.get(request.clips[0][0])  # type: ignore[index]
        problem = self._problems[question]
        fact = None if events is None else problem.solve(events)
        if request.options.thinking:
            if fact is None:
                return "<think>\nnothing\n</think>\n\nHm."
            lines = "\n".join(f"{e.start:.1f} - {e.end:.1f}: {e.label}" for e in events or ())
            return f"<think>\n{lines}\n</think>\n\n{told(fact)}"
        lucky = random.Random(question).random() < self._right
        if fact is None or request.options.thinking is False or not lucky:
            return "Hm."
        return told(fact)

    def events(self, x: Sequence[Any], **_: Any) -> list[Any]:
        return [Timeline(tuple(sounds(self._heard[one.samples[0]])), SECONDS) for one in x]


def _run(model: FakeModel, planned: Plan, out: Path, name: str = "m") -> SuiteRun:
    with AnswerFile(out) as store:
        ran = run(model, planned, store, fingerprint=name)  # type: ignore[arg-type]
    made = report.build(planned, ran, model=name, fingerprint=name, command="", limit=None)
    report.write(out, made)
    return ran


def _by_name(rows: Sequence[Figure]) -> dict[tuple[str, str, str], Figure]:
    return {(one.part, one.name, one.group): one for one in rows}


def test_what_is_asked_is_balanced_and_told_apart(scenes_folder: Path) -> None:
    items = plan("reasoning", scenes_folder).parts[0].dataset.items
    assert len({item.id for item in items}) == len(items) > CLIPS
    for item in items:
        problem = derived.problem_of(item)
        assert (item.category == derived.UNSEEN) == (not KINDS[problem.kind].trained)
        assert problem.solve(problem.events) == item.truth
        assert told(item.truth) == item.reference
    assert {derived.SEEN, derived.UNSEEN, "unseen wordings"} <= {item.category for item in items}
    answers: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for item in items:
        answers[item.category, derived.problem_of(item).kind].append(item.truth)
    for facts in answers.values():  # of what is chosen, not of all that there was
        timed = [fact for fact in facts if isinstance(fact, float)]
        even = 1 / len({int(fact / 0.6) for fact in timed} or set(facts)) + 0.05
        assert best_constant(facts) <= max(0.4 if timed else 0.2, even) + 1e-9
    of_two = [item for item in items if derived.problem_of(item).kind in ("longer", "shorter")]
    assert without_listening(of_two) == 50  # who hears nothing names one of the two
    seen = Counter(derived.clip_of(item) for item in items)
    assert len(seen) > CLIPS / 2
    # those about a clip follow one another: its encoding is computed once
    changes = sum(derived.clip_of(a) != derived.clip_of(b) for a, b in pairwise(items))
    assert changes == len(seen) - 1
    assert any(derived.needs_words(item) for item in items)
    again = plan("reasoning", scenes_folder).parts[0].dataset
    assert again.digest() == plan("reasoning", scenes_folder).parts[0].dataset.digest()


def test_each_part_measures_what_it_says(scenes_folder: Path, tmp_path: Path) -> None:
    planned = plan("reasoning", scenes_folder)
    model = Listener(planned)
    ran = _run(model, planned, tmp_path)
    found = _by_name(figures(planned, ran.outcomes))
    of_sounds = [not derived.needs_words(one) for one in planned.parts[0].dataset.items]
    assert found[PROGRAM, RIGHT, ALL].items == sum(of_sounds) < len(of_sounds)
    assert found[PROGRAM, RIGHT, ALL].value == found[PROGRAM, RIGHT, derived.SEEN].value == 100
    assert found[PROGRAM, "event-based F1 at 200 ms", ALL].value == 1
    on = found[ON, RIGHT, ALL]
    assert on.value == found[ON, "answers that follow from the thought", ALL].value == 100
    assert found[ON, "thoughts that end", ALL].value == 100
    assert found[ON, f"{RIGHT}, {derived.UNSEEN}", ALL].value == (
        found[ON, RIGHT, derived.UNSEEN].value
    )
    assert found[ANSWERS, RIGHT, ALL].value == found[OFF, RIGHT, ALL].value == 0
    assert found["silence, thinking on", RIGHT, ALL].value == 0
    another = found["another clip, thinking on", RIGHT, ALL].value
    assert another is not None
    assert another < 30
    baseline = on.baseline
    assert baseline is not None
    assert 0 < baseline < 50


def test_a_thought_that_leads_elsewhere_is_noticed(scenes_folder: Path) -> None:
    planned = plan("reasoning", scenes_folder)
    (on,) = [part for part in planned.parts if part.name == ON]
    item = next(one for one in on.dataset.items if dict(one.fields)["kind"] == "longest")
    problem = derived.problem_of(item)
    right = think(problem, random.Random(0), slipped=0.0).text
    wrong = next(label for label in LABELS if label != item.truth)

    def measured(thought: str, answer: str) -> dict[str, float | None]:
        text = f"<think>\n{thought}\n</think>\n\n{answer}"
        result = planned.parts[0].call.query(FakeModel(), item, []).tasks[0].parse(text, SECONDS)
        outcome = Outcome(item, result, None, SECONDS)
        return {m.name: of_measure(ON, m, [outcome])[0].value for m in on.measures}

    good, astray = measured(right, problem.answer), measured(right, wrong)
    follows, f1 = "answers that follow from the thought", "event-based F1 at 200 ms"
    assert (good[RIGHT], good[follows], good[f1]) == (100, 100, 1)
    assert (astray[RIGHT], astray[follows], astray[f1]) == (0, 0, 1)
    nothing = measured("well", problem.answer)
    assert (nothing[RIGHT], nothing[follows], nothing[f1]) == (100, 0, 0)


def test_intervals_are_drawn_over_clips() -> None:
    """Ten answers about each of twelve clips, all right or all wrong: twelve facts, not 120."""
    items = [Item(f"{n}/{k}", (), fields=(("clip", str(n)),)) for n in range(12) for k in range(10)]
    rows = [Outcome(item, None) for item in items]

    def share(outcome: Outcome) -> tuple[float, float]:
        return float(int(outcome.item.id.split("/")[0]) % 2), 1.0

    loose = Measure("right", share, failed=True)
    tight, wide = (
        of_measure("x", one, rows)[0]
        for one in (loose, Measure("right", share, failed=True, cluster=derived.clip_of))
    )
    assert tight.value == wide.value == 50
    assert wide.high - wide.low > 2.5 * (tight.high - tight.low)  # type: ignore[operator]
    assert wide.items == tight.items == 120


def test_differences_are_of_the_same_questions(scenes_folder: Path, tmp_path: Path) -> None:
    planned = plan("reasoning", scenes_folder).only([ANSWERS, OFF, ON])
    ran = _run(Listener(planned, right=0.5), planned, tmp_path / "half", "half")
    found = _by_name(differences(planned, ran.outcomes))
    values = {
        f.part: f for f in figures(planned, ran.outcomes) if f.name == RIGHT and f.group == ALL
    }
    gained = found[f"{ON}, less {ANSWERS}", RIGHT, ALL]
    assert gained.value == pytest.approx(values[ON].value - values[ANSWERS].value)  # type: ignore[operator]
    assert 0 < gained.low <= gained.value <= gained.high  # type: ignore[operator]
    assert found[f"{ON}, less {OFF}", RIGHT, ALL].value == values[ON].value
    # against another run of which one part was asked
    only = planned.only([ANSWERS])
    _run(Listener(planned, right=1.0), only, tmp_path / "all", "runs/all")
    other = read_run(tmp_path / "all", planned)
    found = _by_name(differences(planned, ran.outcomes, [other]))
    lost = found[f"{ANSWERS}, less runs/all: {ANSWERS}", RIGHT, ALL]
    assert lost.value < 0  # type: ignore[operator]
    assert lost.high < 0  # type: ignore[operator]
    assert (f"{ON}, less runs/all: {ON}", RIGHT, ALL) not in found
    assert (f"{ON}, less runs/all: {ANSWERS}", RIGHT, derived.UNSEEN) in found


def test_a_run_that_cannot_be_compared_is_refused(scenes_folder: Path, tmp_path: Path) -> None:
    planned = plan("reasoning", scenes_folder)
    with pytest.raises(MossAudioError, match=r"report.json: no report of a run; name the --out"):
        read_run(tmp_path, planned)
    _run(Listener(planned), planned.only([ANSWERS]), tmp_path)
    path = tmp_path / "report.json"
    told_before = path.read_text()
    path.write_text(told_before.replace('"suite": "reasoning"', '"suite": "nano"'))
    with pytest.raises(MossAudioError, match="of suite nano 3, not reasoning 3; run it again"):
        read_run(tmp_path, planned)
    path.write_text(told_before.replace('"model_hash": "m"', '"model_hash": "other"'))
    with pytest.raises(MossAudioError, match="answers to other questions; run it on the same"):
        read_run(tmp_path, planned)


def test_the_command_with_a_tiny_checkpoint(
    scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    able = write_model(tmp_path / "able", heads=2)
    unable = write_model(tmp_path / "unable", think_tokens=False, heads=2)

    def evaluated(model: Path, *more: str) -> dict[str, Any]:
        arguments = ["evaluate", str(model), "--suite", "reasoning", "--data", str(scenes_folder)]
        arguments += ["--out", str(tmp_path / f"out-{model.name}"), "--limit", "2", *more]
        assert main(arguments) == 0, capsys.readouterr().err
        made: dict[str, Any] = json.loads((tmp_path / f"out-{model.name}/report.json").read_text())
        return made

    told = evaluated(unable, "--part", ANSWERS, "--part", ON)
    assert (
        "thinking on is not measured: the checkpoint's tokenizer has no" in capsys.readouterr().err
    )
    assert [part["part"] for part in told["data"]] == [ANSWERS]
    told = evaluated(
        able, "--part", ANSWERS, "--part", ON, "--against", str(tmp_path / "out-unable")
    )
    assert [part["answered"] for part in told["data"]] == [2, 2]
    assert {row["part"] for row in told["differences"]} == {
        f"{ON}, less {ANSWERS}",
        f"{ON}, less {unable}: {ANSWERS}",
        f"{ANSWERS}, less {unable}: {ANSWERS}",
    }
    page = capsys.readouterr().out
    assert "## Differences on the same items" in page
    # of the other run a part that is not asked about here
    told = evaluated(able, "--part", ON, "--against", str(tmp_path / "out-unable"))
    assert {row["part"] for row in told["differences"]} == {f"{ON}, less {unable}: {ANSWERS}"}
    assert "intervals over clips" in page
    assert main(["evaluate", str(unable), "--suite", "reasoning", "--data", str(scenes_folder),
                 "--part", ON]) == 1  # fmt: skip
    assert "thinking on: the checkpoint's tokenizer has no think tokens" in capsys.readouterr().err
