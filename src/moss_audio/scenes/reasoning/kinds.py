"""Every kind of derived question, by name."""

from __future__ import annotations

from collections.abc import Mapping

from moss_audio.scenes.reasoning import comparing, measuring, ordering, speaking
from moss_audio.scenes.reasoning.kind import DerivedKind

KINDS: Mapping[str, DerivedKind] = {
    kind.name: kind
    for kind in (
        comparing.Longer(),
        comparing.Longest(),
        comparing.Shortest(),
        comparing.SecondLongest(),
        comparing.MoreOften(),
        ordering.Nth(),
        ordering.SoundBetween(),
        ordering.OrderOfThree(),
        ordering.BeforeLongestPause(),
        ordering.SecondBefore(),
        ordering.AroundSpeech(),
        ordering.AfterEnd(),
        ordering.SoundsBefore(),
        measuring.PauseBetween(),
        measuring.OnsetDifference(),
        measuring.TotalTime(),
        measuring.Silence(),
        measuring.LongestPause(),
        measuring.Fits(),
        measuring.KindsOfSound(),
        measuring.HowOften(),
        speaking.DuringWord(),
        speaking.FirstWordAfter(),
        speaking.GapAfterSpeech(),
    )
}
