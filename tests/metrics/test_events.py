import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.metrics.events import (
    EventCounts,
    event_based,
    normalize_label,
    segment_based,
    timeline_iou,
)
from moss_audio.result import Event, Timeline

CASES = json.loads(Path(__file__).with_name("sed_eval_values.json").read_text())["cases"]
MEASURES = {
    "onset_offset": event_based,
    "onset": lambda a, b: event_based(a, b, offset=False),
    "segment_1": segment_based,
    "segment_0.1": lambda a, b: segment_based(a, b, 0.1),
}
EVENT = st.builds(
    lambda label, start, length: Event(label, start / 100, (start + length) / 100),
    st.sampled_from(["dog", "cat", "rain"]),
    st.integers(0, 600),
    st.integers(1, 300),
)
TIMELINE = st.lists(EVENT, max_size=6).map(lambda events: Timeline(tuple(events)))


def timeline(*events):
    return Timeline(tuple(Event(*event) for event in events))


@pytest.mark.parametrize("name", MEASURES)
def test_counts_equal_those_of_sed_eval(name):
    for number, case in enumerate(CASES):
        truth, found = (timeline(*case[side]) for side in ("reference", "hypothesis"))
        got = MEASURES[name](truth, found).to_dict()
        for key, expected in case[name].items():
            if key == "macro_f1":
                continue  # a mean over labels, which nothing here reports
            if expected == expected:  # sed_eval has no f1 for an empty answer
                assert got[key] == pytest.approx(expected, abs=1e-12), (number, key)


def test_collars():
    truth = timeline(("dog", 1.0, 5.0))
    for found, offset, hits in (
        (("dog", 1.2, 5.0), True, 1),  # exactly on the collar
        (("dog", 1.21, 5.0), True, 0),
        (("dog", 1.0, 7.0), True, 1),  # half of the length
        (("dog", 1.0, 7.01), True, 0),
        (("dog", 1.0, 9.0), False, 1),
        (("The sound of a DOG", 1.0, 5.0), True, 1),
        (("cat", 1.0, 5.0), True, 0),
    ):
        assert event_based(truth, timeline(found), offset=offset).hits == hits, found
    swapped = event_based(truth, timeline(("cat", 1.0, 5.0)))
    assert (swapped.substitutions, swapped.deletions, swapped.insertions) == (1, 0, 0)
    assert event_based(truth, timeline(("cat", 1.0, 5.0)), labels=False).f1 == 1.0
    assert event_based(truth, timeline(("dog", 1.4, 5.0)), 0.5).f1 == 1.0


def test_matching_is_the_largest():
    # Taking the first that fits would leave the second reference without a partner.
    truth = timeline(("a", 1.0, 2.0), ("a", 1.3, 2.3))
    found = timeline(("a", 1.15, 2.15), ("a", 0.9, 1.9))
    assert event_based(truth, found).hits == 2


def test_each_event_is_used_once():
    counts = event_based(timeline(("a", 1, 2)), timeline(("a", 1, 2), ("a", 1.01, 2)))
    assert (counts.hits, counts.insertions) == (1, 1)
    assert counts.f1 == pytest.approx(2 / 3)


def test_iou():
    truth = timeline(("dog", 0, 2), ("dog", 1, 3), ("cat", 5, 6))
    found = timeline(("dog", 2, 4), ("cat", 5, 6))
    result = timeline_iou(truth, found)
    assert (result.intersection_s, result.union_s) == (2.0, 5.0)
    assert timeline_iou(truth, timeline(("bird", 0, 3), ("bird", 5, 6)), labels=False).iou == 1.0
    assert timeline_iou(timeline(), timeline()).iou == 1.0
    assert timeline_iou(truth, timeline()).iou == 0.0


def test_nothing_to_find():
    assert event_based(timeline(), timeline()).f1 == 1.0
    assert event_based(timeline(), timeline(("dog", 0, 1))).f1 == 0.0
    assert EventCounts().error_rate is None


@pytest.mark.parametrize(
    "call", [lambda t: event_based(t, t, -1), lambda t: segment_based(t, t, 0)]
)
def test_impossible_settings_are_refused(call):
    with pytest.raises(MossAudioError, match="must be"):
        call(timeline())


@settings(max_examples=60, deadline=None)
@given(TIMELINE, TIMELINE, st.randoms(use_true_random=False))
def test_invariants(truth, found, rng: random.Random):
    shuffled = Timeline(tuple(rng.sample(found.events, len(found.events))))
    for measure in (event_based, segment_based):
        counts, back = measure(truth, found), measure(found, truth)
        assert measure(truth, shuffled) == counts
        assert measure(truth, truth).f1 == 1.0
        assert 0 <= counts.f1 <= 1
        assert counts.references == counts.hits + counts.substitutions + counts.deletions
        assert counts.predictions == counts.hits + counts.substitutions + counts.insertions
        if measure is segment_based:
            assert (back.hits, back.deletions) == (counts.hits, counts.insertions)
    onset = event_based(truth, found, offset=False)
    assert onset.hits == event_based(found, truth, offset=False).hits
    assert onset.hits >= event_based(truth, found).hits
    iou = timeline_iou(truth, found)
    assert 0 <= iou.iou <= 1
    assert iou.iou == pytest.approx(timeline_iou(found, truth).iou)
    assert timeline_iou(truth, shuffled) == iou
    assert timeline_iou(truth, truth).iou == 1.0


def test_labels_are_compared_by_their_words():
    assert normalize_label("The sound of a Dog, barking!") == "dog barking"
    assert normalize_label("sound of") == "sound of"
