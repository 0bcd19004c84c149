"""Derived questions: every answer is that of a plain reading of the timeline, small errors do not
turn it, thoughts are true and lead to it, what is held out is never asked, constants do not pay."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.result import Event, Timeline, Word
from moss_audio.scenes.reasoning.balance import balanced, best_constant, spread
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.problem import Problem, draw_problem
from moss_audio.scenes.reasoning.splits import (
    AXES,
    MORE_EVENTS,
    Axis,
    all_wordings,
    fits_pairs,
    held_wordings,
)
from moss_audio.scenes.reasoning.thought import think
from moss_audio.scenes.reasoning.timeline import in_tenths, sounds
from moss_audio.tasks.reason import thought_timeline, told

LABELS = ("bell", "dog barking", "rain", "thunder", "siren", "speech")
SUM = re.compile(r"([0-9.]+) ([+-]) ([0-9.]+) = ([0-9.]+)")


def _timeline(rng: random.Random, count: int, *, overlaps: bool = True) -> tuple[Event, ...]:
    events, at = [], rng.uniform(0.0, 2.0)
    for _ in range(count):
        seconds = rng.uniform(0.3, 4.0)
        events.append(Event(rng.choice(LABELS), at, at + seconds))
        at += seconds + rng.uniform(0.2, 3.0)
        if overlaps and rng.random() < 0.2:
            at = max(0.0, at - 2.0)
    return in_tenths(events)


def _over_speech(rng: random.Random, count: int) -> tuple[Event, ...]:
    """Speech of 4 s with sounds before, under and after it."""
    starts = [rng.uniform(0.0, 8.0) for _ in range(count - 1)]
    others = [Event(rng.choice(LABELS[:-1]), t, t + rng.uniform(0.5, 4.0)) for t in starts]
    return in_tenths([Event("speech", 3.0, 7.0), *others])


def _words(events: Sequence[Event], rng: random.Random) -> list[Word]:
    """Words of 0.3 s or less all through the speech; some come again, one is called as a sound."""
    said = []
    for event in events:
        at = event.start
        while event.label == "speech" and at < event.end - 0.3:
            end = at + rng.uniform(0.1, 0.3)
            text = rng.choice(
                ("The", "bell,", "river", "stone", "green.", "house", "seven", "tree")
            )
            said.append(Word(text, at, end))
            at = end + rng.uniform(0.0, 0.6)
    return said


@cache
def _problems(axis: Axis) -> tuple[Problem, ...]:
    """Some of every kind of an axis."""
    rng = random.Random(f"problems {axis}")
    found = []
    for name, kind in KINDS.items():
        if kind.trained == (axis == "kinds"):
            continue
        made = _over_speech if kind.words else _timeline
        tries = (made(rng, rng.randint(2, 6)) for _ in range(3000))
        drawn = (
            draw_problem(events, rng, axis, words=_words(events, rng), only=name)
            for events in tries
        )
        found += islice((problem for problem in drawn if problem is not None), 60)
    return tuple(found)


# The answers once more, each from a grid of tenths of a second or a plain count: no line of the
# kinds is used.
def _grid(events: Sequence[Event]) -> list[set[str]]:
    """What sounds in each tenth of a second."""
    end = round(max(event.end for event in events) * 10)
    cells: list[set[str]] = [set() for _ in range(end)]
    for event in events:
        for cell in range(round(event.start * 10), round(event.end * 10)):
            cells[cell].add(event.label)
    return cells


def _quiet(events: Sequence[Event]) -> list[tuple[int, int]]:
    """Runs of silent tenths between sounds: first cell and length."""
    text = "".join("x" if cell else "." for cell in _grid(events))
    return [(m.start(), len(m[0])) for m in re.finditer(r"(?<=x)\.+(?=x)", text)]


def _of(events: Sequence[Event], label: object) -> list[Event]:
    return [event for event in events if event.label == label]


def _ends_at(events: Sequence[Event], cell: int) -> str:
    return next(event.label for event in events if round(event.end * 10) == cell)


def _tenths(event: Event) -> int:
    return round(event.end * 10) - round(event.start * 10)


ORDER = {"second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5}
ORACLES: dict[str, Callable[[Sequence[Event], dict[str, str]], object]] = {
    "longer": lambda e, s: max((s["a"], s["b"]), key=lambda x: _tenths(_of(e, x)[0])),
    "shorter": lambda e, s: min((s["a"], s["b"]), key=lambda x: _tenths(_of(e, x)[0])),
    "longest": lambda e, s: max(e, key=_tenths).label,
    "shortest": lambda e, s: min(e, key=_tenths).label,
    "second_longest": lambda e, s: next(
        x.label for x in e if sum(_tenths(y) > _tenths(x) for y in e) == 1
    ),
    "second_shortest": lambda e, s: next(
        x.label for x in e if sum(_tenths(y) < _tenths(x) for y in e) == 1
    ),
    "less_often": lambda e, s: min((s["a"], s["b"]), key=lambda x: len(_of(e, x))),
    "more_often": lambda e, s: max((s["a"], s["b"]), key=lambda x: len(_of(e, x))),
    "nth": lambda e, s: next(
        x.label for x in e if sum(y.start < x.start for y in e) == ORDER[s["nth"]]
    ),
    "between": lambda e, s: next(
        x.label for x in e if _of(e, s["a"])[0].start < x.start < _of(e, s["b"])[0].start
    ),
    "next_after": lambda e, s: min(
        (x for x in e if x.start > _of(e, s["a"])[0].start), key=lambda x: x.start
    ).label,
    "last_before": lambda e, s: max(
        (x for x in e if x.start < _of(e, s["a"])[0].start), key=lambda x: x.start
    ).label,
    "order_of_three": lambda e, s: tuple(x.label for x in e if x.label in s.values()),
    "before_longest_pause": lambda e, s: _ends_at(e, max(_quiet(e), key=lambda run: run[1])[0]),
    "second_before": lambda e, s: _of(e, s["a"])[1].start < _of(e, s["b"])[0].start,
    "starts_before": lambda e, s: _of(e, s["a"])[0].start < _of(e, s["b"])[0].start,
    "around_speech": lambda e, s: _around(e, s["a"]),
    "after_end": lambda e, s: next(iter(_grid(e)[round(_of(e, s["a"])[0].end * 10) + 20])),
    "after_start": lambda e, s: next(iter(_grid(e)[round(_of(e, s["a"])[0].start * 10) + 30])),
    "sounding_at": lambda e, s: next(iter(_grid(e)[round(float(s["at"]) * 10)])),
    "sounds_before": lambda e, s: len([x for x in e if x.start < float(s["at"])]),
    "pause": lambda e, s: dict(_quiet(e))[round(_of(e, s["a"])[0].end * 10)] / 10,
    "onset_difference": lambda e, s: _of(e, s["b"])[0].start - _of(e, s["a"])[0].start,
    "end_difference": lambda e, s: _end(e, s["b"]) - _end(e, s["a"]),
    "length_difference": lambda e, s: (
        _tenths(_of(e, s["a"])[0]) - _tenths(_of(e, s["b"])[0])
    ) / 10,
    "total": lambda e, s: sum(s["a"] in cell for cell in _grid(e)) / 10,
    "silence": lambda e, s: sum(run for _, run in _quiet(e)) / 10,
    "longest_pause": lambda e, s: max(run for _, run in _quiet(e)) / 10,
    "shortest_pause": lambda e, s: min(run for _, run in _quiet(e)) / 10,
    "pause_longer": lambda e, s: (
        dict(_quiet(e))[round(_end(e, s["a"]) * 10)] > _tenths(_of(e, s["a"])[0])
    ),
    "fits": lambda e, s: (
        _tenths(_of(e, s["b"])[0]) <= dict(_quiet(e))[round(_of(e, s["a"])[0].end * 10)]
    ),
    "kinds_of_sound": lambda e, s: len({x.label for x in e}),
    "how_often": lambda e, s: len(_of(e, s["a"])),
    "during_word": lambda e, s: _over(e, _of(e, f'"{s["word"]}"')[0]),
    "first_word_after": lambda e, s: next(x.label for x in _said(e) if x.start >= _end(e, s["a"])),
    "gap_after_speech": lambda e, s: (
        round(10 * _of(e, s["a"])[0].start) - max(round(10 * x.end) for x in _said(e))
    ) / 10,
}  # fmt: skip


def _said(events: Sequence[Event]) -> list[Event]:
    return [x for x in events if '"' in x.label]


def _end(events: Sequence[Event], label: str) -> float:
    return _of(events, label)[0].end


def _over(events: Sequence[Event], word: Event) -> str:
    """What sounds in the middle of a word, from a grid of half tenths."""
    middle = round(word.start * 10) + round(word.end * 10)
    (found,) = {
        x.label
        for x in events
        if x.label != "speech" and '"' not in x.label
        and round(x.start * 20) <= middle <= round(x.end * 20)
    }  # fmt: skip
    return found


def _around(events: Sequence[Event], label: str) -> str:
    start, speech = _of(events, label)[0].start, _of(events, "speech")
    if start < min(x.start for x in speech):
        return "before"
    return "during" if start < max(x.end for x in speech) else "after"


@pytest.mark.parametrize("name", KINDS)
def test_every_answer_is_that_of_a_plain_reading(name: str) -> None:
    axis: Axis = "seen" if KINDS[name].trained else "kinds"
    problems = [problem for problem in _problems(axis) if problem.kind == name]
    assert len(problems) == 60
    for problem in problems:
        expected = ORACLES[name](problem.events, dict(problem.slots))
        if isinstance(expected, float):
            expected = pytest.approx(expected, abs=1e-6)
        assert problem.fact == expected, problem
        assert type(problem.fact) is not int or name in (
            "sounds_before", "kinds_of_sound", "how_often",
        )  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_an_error_of_a_tenth_in_every_time_turns_no_answer(name: str) -> None:
    rng = random.Random(1)
    axis: Axis = "seen" if KINDS[name].trained else "kinds"
    for problem in (one for one in _problems(axis) if one.kind == name):
        moved = [
            Event(e.label, e.start + rng.choice((-0.1, 0, 0.1)), e.end + rng.choice((-0.1, 0, 0.1)))
            for e in problem.events
        ]
        again = problem.solve(moved)
        if isinstance(problem.fact, float):
            # each time that goes into a sum may be off by a tenth
            assert again == pytest.approx(problem.fact, abs=0.2 * len(problem.events) + 1e-6)
        else:
            assert again == problem.fact, problem


@pytest.mark.parametrize("axis", ["seen", "kinds"])
def test_a_thought_lists_what_sounds_and_all_it_computes_is_true(axis: Axis) -> None:
    rng = random.Random(2)
    slips = checks = 0
    for problem in _problems(axis):
        thought = think(problem, rng, checked=0.4, slipped=0.4)
        timeline = thought_timeline(thought.text, 60.0)
        assert timeline.events == problem.events
        assert problem.solve(timeline.events) == problem.fact
        said = thought.text
        for slip in thought.slips:
            slips += 1
            left, sign, right, result = SUM.search(slip).groups()  # type: ignore[union-attr]
            true = float(left) + float(right) * (1 if sign == "+" else -1)
            assert abs(true - float(result)) > 0.09
            before, _, after = said.partition(slip)
            assert after.startswith("no, ")
            said = before + after
        for left, sign, right, result in SUM.findall(re.sub(r"\bno, .*?: ", "", said)):
            true = float(left) + float(right) * (1 if sign == "+" else -1)
            assert true == pytest.approx(float(result), abs=1e-6), said
        checks += "check: " in said
        assert "\n\n" not in said
        assert "<" not in said
        # the answer can be read off its end
        stated = told(problem.fact).rstrip(".").removesuffix(" seconds").lower()
        if problem.kind not in ("order_of_three", "kinds_of_sound", "how_often", "sounds_before"):
            last = [line for line in said.splitlines() if not line.startswith("check: ")][-1]
            assert stated in last.lower(), said
    assert min(slips, checks) > 50


def test_what_mends_a_slip_is_true() -> None:
    rng = random.Random(5)
    mended = 0
    for problem in _problems("seen"):
        for line in think(problem, rng, checked=0.0, slipped=1.0).text.splitlines():
            if line.startswith("no, "):
                mended += 1
                back, right = line.removeprefix("no, ").split(": ")
                for left, sign, value, result in SUM.findall(back) + SUM.findall(right):
                    true = float(left) + float(value) * (1 if sign == "+" else -1)
                    assert true == pytest.approx(float(result), abs=1e-6)
                told_back, wanted = back.split(", not ")
                assert told_back.split(" = ")[1] != wanted
    assert mended > 100


def test_the_shares_of_checks_and_slips_are_those_asked_for() -> None:
    rng = random.Random(3)
    problems = [p for p in _problems("seen") if p.kind in ("pause", "longer", "onset_difference")]
    thoughts = [think(rng.choice(problems), rng) for _ in range(4000)]
    checked = sum("\ncheck: " in thought.text for thought in thoughts) / 4000
    slipped = sum(bool(thought.slips) for thought in thoughts) / 4000
    assert checked == pytest.approx(0.15, abs=0.02)
    assert slipped == pytest.approx(0.05, abs=0.015)


def test_training_never_asks_what_is_held_out() -> None:
    held = {text for name in KINDS for text in held_wordings(name)}
    for axis in AXES:
        for problem in _problems(axis):
            kind = KINDS[problem.kind]
            used = {w for w in all_wordings(problem.kind)
                    if w.format(**dict(problem.slots)) == problem.question}  # fmt: skip
            assert len(used) == 1
            # each axis moves one thing
            assert (not kind.trained) == (axis == "kinds")
            assert bool(used & held) == (axis == "wordings")
            assert (len(sounds(problem.events)) >= MORE_EVENTS[0]) == (axis == "events")
            assert fits_pairs(kind, dict(problem.slots), axis)
            assert fits_pairs(kind, dict(problem.slots), "pairs") == (axis == "pairs")


def test_a_third_of_the_kinds_and_a_quarter_of_the_wordings_are_held_out() -> None:
    unseen = [name for name, kind in KINDS.items() if not kind.trained]
    assert len(unseen) == len(KINDS) / 3
    for name, kind in KINDS.items():
        assert len(held_wordings(name)) == len(all_wordings(name)) // 4 >= 1
        assert len(all_wordings(name)) >= (8 if kind.trained else 4)


def test_kinds_that_a_guess_gets_right_are_asked_seldom() -> None:
    rng = random.Random(4)
    drawn = Counter[str]()
    for _ in range(4000):
        problem = draw_problem(_timeline(rng, rng.randint(3, 4)), rng)
        if problem is not None:
            drawn[problem.kind] += 1
    easy = {name for name, kind in KINDS.items() if kind.weight < 1}
    assert sum(drawn[name] for name in easy) / sum(drawn.values()) <= 0.2
    assert {name for name, k in KINDS.items() if k.trained and not k.words} <= set(drawn)


def test_no_constant_answer_gets_far_in_a_balanced_set() -> None:
    rng = random.Random(6)
    drawn = [draw_problem(_timeline(rng, rng.randint(2, 4)), rng) for _ in range(6000)]
    found = [problem for problem in drawn if problem is not None]
    kept = balanced(found, rng, lambda problem: problem)
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in kept:
        by_kind[problem.kind].append(problem)
    assert len(by_kind) > 10
    for problems in by_kind.values():
        facts = [problem.fact for problem in problems]
        timed = [fact for fact in facts if isinstance(fact, float)]
        answers = len({int(fact / 0.6) for fact in timed} or set(facts))
        assert best_constant(facts) <= max(0.4 if timed else 0.2, 1 / answers + 0.05) + 1e-9
    assert len(kept) > 0.5 * len(found)
    # it is the balance that does it
    before = [problem.fact for problem in found if problem.kind == "kinds_of_sound"]
    assert best_constant(before) > 1 / 4 + 0.1


def test_a_problem_asks_no_more_of_another_timeline_than_it_holds() -> None:
    for axis in ("seen", "kinds"):
        for problem in _problems(axis):
            for events in ((), problem.events[:1], (Event("nothing of that", 0.0, 1.0),)):
                fact = problem.solve(events)
                assert fact is None or told(fact)
                assert problem.solve(Timeline(events, 9.0).events) == fact


def test_a_question_may_name_a_sound_as_people_do_and_asks_the_same() -> None:
    """Without what it does, unless two sounds would then be called the same."""
    heard = (Event("phone ringing", 1.0, 2.5), Event("rain", 4.0, 6.0))
    alike = (Event("dog barking", 1.0, 2.5), Event("dog sleeping", 4.0, 6.0))
    for seed in range(40):
        for events, told_short in ((heard, True), (alike, False)):
            plain = draw_problem(events, random.Random(seed), only="pause")
            short = draw_problem(events, random.Random(seed), only="pause", short_share=1.0)
            assert plain is not None
            assert short is not None
            assert events[0].label in plain.question
            assert (events[0].label in short.question) == (not told_short)
            assert events[0].label.split()[0] in short.question
            assert (plain.fact, plain.slots) == (short.fact, short.slots)


def _sentences(*starts: float) -> list[Event]:
    return [Event("speech", start, start + 1.0) for start in starts]


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        # two sentences: once speech or twice, as one takes it
        ("how_often", _sentences(0.0, 2.0)),
        ("more_often", [*_sentences(0.0, 2.0), Event("bell", 4.0, 5.0)]),
        ("less_often", [*_sentences(0.0, 2.0), Event("bell", 4.0, 5.0)]),
        ("nth", [*_sentences(0.0, 2.0), Event("bell", 4.0, 5.0)]),
        # the rain is longest at once, the dog in all
        (
            "longest",
            [
                Event("dog barking", 0.0, 2.0),
                Event("rain", 3.0, 6.0),
                Event("dog barking", 7.0, 9.0),
            ],
        ),
        # between the sentences
        ("around_speech", [*_sentences(0.0, 2.5), Event("bell", 1.6, 2.0)]),
        # three seconds later it still goes on itself
        ("after_start", [Event("rain", 0.0, 6.0), Event("bell", 7.0, 7.4)]),
    ],
)
def test_what_a_listener_may_take_otherwise_is_not_asked(kind: str, events: list[Event]) -> None:
    assert not list(KINDS[kind].slots(in_tenths(events)))
    named = [Event("hum" if e.label == "speech" else e.label, e.start, e.end) for e in events]
    alike = {"how_often": named, "more_often": named, "less_often": named, "nth": named}
    clear = {
        "longest": [*events[:2], Event("bell", 7.0, 8.0)],
        "around_speech": [*_sentences(0.0, 2.5), Event("bell", 2.95, 3.1)],
        "after_start": [Event("rain", 0.0, 2.0), Event("bell", 2.5, 4.0)],
    }
    assert list(KINDS[kind].slots(in_tenths({**alike, **clear}[kind])))


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 40))
def test_a_few_of_many_answers_are_as_even_as_can_be(facts: list[int], most: int) -> None:
    taken = Counter(spread(facts, most, lambda fact: fact))
    assert taken.total() == min(most, len(facts))
    there = Counter(facts)
    for one in there:
        # no other answer was taken twice more often while there were some of this left
        assert taken[one] == there[one] or taken[one] >= max(taken.values(), default=0) - 1
