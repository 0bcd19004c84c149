"""Every kind of derived question, by name."""

from __future__ import annotations

from collections.abc import Mapping

from moss_audio.scenes.reasoning import comparing, measuring, ordering, speaking
from moss_audio.scenes.reasoning.kind import DerivedKind

KINDS: Mapping[str, DerivedKind] = {
    kind.name: kind
    for kind in (
        comparing.Longer(),
        comparing.Shorter(),
        comparing.Longest(),
        comparing.Shortest(),
        comparing.SecondLongest(),
        comparing.SecondShortest(),
        comparing.MoreOften(),
        comparing.LessOften(),
        ordering.Nth(),
        ordering.SoundBetween(),
        ordering.NextAfter(),
        ordering.LastBefore(),
        ordering.OrderOfThree(),
        ordering.BeforeLongestPause(),
        ordering.SecondBefore(),
        ordering.StartsBefore(),
        ordering.AroundSpeech(),
        ordering.SoundingAt(),
        ordering.AfterEnd(),
        ordering.AfterStart(),
        ordering.SoundsBefore(),
        measuring.PauseBetween(),
        measuring.OnsetDifference(),
        measuring.EndDifference(),
        measuring.LengthDifference(),
        measuring.TotalTime(),
        measuring.Silence(),
        measuring.LongestPause(),
        measuring.ShortestPause(),
        measuring.PauseLonger(),
        measuring.Fits(),
        measuring.KindsOfSound(),
        measuring.HowOften(),
        speaking.DuringWord(),
        speaking.FirstWordAfter(),
        speaking.GapAfterSpeech(),
    )
}
