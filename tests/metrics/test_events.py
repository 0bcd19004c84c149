import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.metrics import events
from moss_audio.metrics.events import (
    IouCounts,
    event_based,
    normalize_label,
    segment_based,
    timeline_iou,
)
from moss_audio.result import Event, Timeline

CASES = json.loads(Path(__file__).with_name("sed_eval_values.json").read_text())["cases"]
MEASURES = {  # and the constants that differ from ours in that measure
    "onset_offset": (event_based, {}),
    "onset": (event_based, {"OFFSET_SHARE": 1e9}),
    "segment_1": (segment_based, {}),
    "segment_0.1": (segment_based, {"RESOLUTION_S": 0.1}),
}
EVENT = st.builds(
    lambda label, start, length: Event(label, start / 100, (start + length) / 100),
    st.sampled_from(["dog", "cat", "rain"]),
    st.integers(0, 600),
    st.integers(1, 300),
)
TIMELINE = st.lists(EVENT, max_size=6).map(lambda found: Timeline(tuple(found)))


def timeline(*rows):
    return Timeline(tuple(Event(*row) for row in rows))


@pytest.mark.parametrize("name", MEASURES)
def test_counts_equal_those_of_sed_eval(name, monkeypatch):
    measure, constants = MEASURES[name]
    for constant, value in constants.items():
        monkeypatch.setattr(events, constant, value)
    for number, case in enumerate(CASES):
        truth, found = (timeline(*case[side]) for side in ("reference", "hypothesis"))
        got = measure(truth, found)
        for key in ("hits", "references", "predictions", "f1"):
            expected = case[name][key]
            if expected == expected:  # sed_eval has no f1 for an empty answer
                assert getattr(got, key) == pytest.approx(expected, abs=1e-12), (number, key)


def test_collars():
    truth = timeline(("dog", 1.0, 5.0))
    for found, hits in (
        (("dog", 1.2, 5.0), 1),  # exactly on the collar
        (("dog", 1.21, 5.0), 0),
        (("dog", 1.0, 7.0), 1),  # half of the length
        (("dog", 1.0, 7.01), 0),
        (("The sound of a DOG", 1.0, 5.0), 1),
        (("cat", 1.0, 5.0), 0),
    ):
        assert event_based(truth, timeline(found)).hits == hits, found
    assert event_based(truth, timeline(("cat", 1.0, 5.0)), labels=False).f1 == 1.0


def test_matching_is_the_largest():
    # Taking the first that fits would leave the second reference without a partner.
    truth = timeline(("a", 1.0, 2.0), ("a", 1.3, 2.3))
    found = timeline(("a", 1.15, 2.15), ("a", 0.9, 1.9))
    assert event_based(truth, found).hits == 2


def test_each_event_is_used_once():
    counts = event_based(timeline(("a", 1, 2)), timeline(("a", 1, 2), ("a", 1.01, 2)))
    assert (counts.hits, counts.references, counts.predictions) == (1, 1, 2)
    assert counts.f1 == pytest.approx(2 / 3)


def test_iou():
    truth = timeline(("dog", 0, 2), ("dog", 1, 3), ("cat", 5, 6))
    found = timeline(("dog", 2, 4), ("cat", 5, 6))
    result = timeline_iou(truth, found)
    assert (result.intersection_s, result.union_s) == (2.0, 5.0)
    assert timeline_iou(timeline(), timeline()) == IouCounts()
    assert timeline_iou(truth, timeline()) == IouCounts(0.0, 4.0)


def test_nothing_to_find():
    assert event_based(timeline(), timeline()).f1 == 1.0
    assert event_based(timeline(), timeline(("dog", 0, 1))).f1 == 0.0


@settings(max_examples=60, deadline=None)
@given(TIMELINE, TIMELINE, st.randoms(use_true_random=False))
def test_invariants(truth, found, rng: random.Random):
    shuffled = Timeline(tuple(rng.sample(found.events, len(found.events))))
    for measure in (event_based, segment_based):
        counts, back = measure(truth, found), measure(found, truth)
        assert measure(truth, shuffled) == counts
        assert measure(truth, truth).f1 == 1.0
        assert 0 <= counts.f1 <= 1
        assert counts.hits <= min(counts.references, counts.predictions)
        assert (back.references, back.predictions) == (counts.predictions, counts.references)
    assert segment_based(truth, found).hits == segment_based(found, truth).hits
    assert event_based(truth, found).hits <= event_based(truth, found, labels=False).hits
    iou, turned = timeline_iou(truth, found), timeline_iou(found, truth)
    assert 0 <= iou.intersection_s <= iou.union_s
    assert iou.intersection_s == pytest.approx(turned.intersection_s)
    assert timeline_iou(truth, shuffled) == iou
    same = timeline_iou(truth, truth)
    assert same.intersection_s == same.union_s


def test_labels_are_compared_by_their_words():
    assert normalize_label("The sound of a Dog, barking!") == "dog barking"
    assert normalize_label("sound of") == "sound of"
