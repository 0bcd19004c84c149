"""What a group of answers is worth once length is punished, and which groups teach anything."""

from __future__ import annotations

import numpy as np
import pytest

from moss_audio.data.example import Example
from moss_audio.engine.base import Trace
from moss_audio.train.rl.advantage import advantages
from moss_audio.train.rl.groups import AnswerGroup, GroupConfig, OverlongConfig, judged
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer
from tests.train.rl.conftest import ONLY, Letters

_LONGEST = 20
# the last 10 tokens cost up to half of a full reward
_SOFT = OverlongConfig(margin=10, weight=0.5)


def _group(*answers: tuple[str, int], cut: int = -1, **config: object) -> AnswerGroup:
    """A group of answers: text and tokens; the one at `cut` ran into the limit."""
    sampled = []
    for number, (text, n) in enumerate(answers):
        kept, forced = np.zeros((n, 1), np.int32), np.zeros(n, bool)
        trace = Trace(np.zeros(n, np.int32), np.zeros(n, np.float32), kept, forced)
        sampled.append(SampledAnswer(text, trace, "length" if number == cut else "stop"))
    how = GroupConfig(answers=len(answers), scale="none", **config)  # type: ignore[arg-type]
    rewards = Letters(ONLY, thinks=False)
    return judged(AskedPrompt(Example("x", [], ()), 0), sampled, rewards, how, _LONGEST)


def test_groups_that_are_all_right_teach_length_only_where_that_is_asked_for() -> None:
    right = [("aaaaaaaa", n) for n in (4, 12, 20)]
    before = _group(*right, overlong=_SOFT)
    after = _group(*right, overlong=_SOFT, filter="after_length")
    assert (before.spread, after.spread) == (False, True)
    for group in (before, after):
        assert group.rewards.tolist() == [1.0, 1.0, 1.0]  # as they are told in the log
        assert group.advantages == pytest.approx(advantages([1.0, 0.9, 0.5], "none"))
    assert not _group(*right, filter="after_length").spread  # length costs nothing
    short = [("aaaaaaaa", n) for n in (4, 7, 10)]
    assert not _group(*short, overlong=_SOFT, filter="after_length").spread


def test_a_group_of_different_worth_teaches_and_its_length_is_weighed() -> None:
    group = _group(("aaaaaaaa", 20), ("AAAAAAAA", 4), overlong=_SOFT)
    assert group.spread
    assert group.rewards.tolist() == [1.0, 0.0]
    assert group.advantages == pytest.approx([0.25, -0.25])  # 0.5 against 0
    plain = _group(("aaaaaaaa", 20), ("AAAAAAAA", 4))
    assert plain.advantages == pytest.approx([0.5, -0.5])
    lighter = _group(
        ("aaaaaaaa", 20), ("AAAAAAAA", 4), overlong=OverlongConfig(margin=10, weight=0.1)
    )
    assert lighter.advantages == pytest.approx([0.45, -0.45])


def test_an_answer_that_was_cut_off_costs_the_whole_weight_or_what_its_length_does() -> None:
    """With `mask` it is not learnt (`RolloutPacker`), and judged as any other of its length."""
    # thirteen tokens: it was cut where the model had no more positions
    answers = [("aaaaaaaa", 4), ("aaaaaaaa", 13)]
    punished = _group(*answers, cut=1, overlong=_SOFT, filter="after_length")
    masked = _group(*answers, cut=1, overlong=_SOFT, filter="after_length", truncated="mask")
    assert punished.advantages == pytest.approx([0.25, -0.25])  # 1 against 1 - 0.5
    assert masked.advantages == pytest.approx([0.075, -0.075])  # 1 against 1 - 0.15
    assert not _group(*answers, cut=1, filter="after_length").spread  # without a weight nothing
