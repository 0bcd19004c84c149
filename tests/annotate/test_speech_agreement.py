from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from moss_audio.annotate.records import AudioSegment, Recording, ToolResult
from moss_audio.annotate.tools.speech.agreement import (
    AgreementConfig,
    AgreementTool,
    decide,
    distance,
)
from moss_audio.errors import MossAudioError

FILE = Path(__file__).with_name("disagreements.txt")


@dataclass
class Case:
    verdict: str
    about: str
    transcripts: dict[str, str] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)


def cases() -> Iterator[Case]:
    for block in FILE.read_text("utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        case = Case(*lines[0].split(": ", 1))
        for line in lines[1:]:
            name, text = line.split(":", 1)
            if name == "chosen":
                case.chosen = text.split()
            else:
                case.transcripts[name] = text.strip()
        yield case


CASES = list(cases())


def test_there_are_a_hundred_different_cases() -> None:
    assert len(CASES) >= 100
    assert len({case.about for case in CASES}) == len(CASES)
    for verdict in ("keep", "flag", "drop"):
        assert sum(case.verdict == verdict for case in CASES) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_disagreement_is_judged_as_a_person_would(case: Case) -> None:
    found = decide(case.transcripts)

    assert found.decision == case.verdict, found
    if case.chosen:
        assert found.chosen in case.chosen, found


def test_the_order_of_the_recognisers_does_not_matter() -> None:
    for case in CASES:
        turned = dict(reversed(case.transcripts.items()))
        assert decide(turned) == decide(case.transcripts), case.about


def test_the_preferred_recogniser_gives_the_text() -> None:
    texts = {"whisper": "Seven ships sank.", "moss": "seven ships sank"}

    assert decide(texts).text == "Seven ships sank."
    other = AgreementConfig(preference=(("moss", 1.0), ("whisper", 0.5)))
    assert decide(texts, other).text == "seven ships sank"


def test_a_quorum_of_three_needs_three() -> None:
    texts = {"a": "one red hen", "b": "one red hen", "c": "some bread then"}

    assert decide(texts).decision == "keep"
    assert decide(texts, AgreementConfig(quorum=3)).decision == "drop"


def test_the_distance_is_symmetric_and_within_bounds() -> None:
    for a, b in (("", "word"), ("a b c", "a b c d e f"), ("x", "y z"), ("every day", "everyday")):
        assert distance(a, b) == distance(b, a)
        assert 0 <= distance(a, b) <= 1
    assert distance("", "word") == 1
    assert distance("a b c", "a b c d e f") == 0.5


@pytest.mark.parametrize(
    "wrong", [{"keep_wer": 0.5}, {"flag_wer": 2.0}, {"quorum": 1}, {"preference": (("a", 0),)}]
)
def test_limits_that_make_no_sense_are_named(wrong: dict) -> None:
    with pytest.raises(MossAudioError, match=next(iter(wrong))):
        AgreementConfig(**wrong)


def test_the_result_of_a_drop_has_no_text_but_says_why() -> None:
    heard = [
        ToolResult("whisper", "1", "speech", "transcript", text="A blue lamp."),
        ToolResult("sphinx", "1", "speech", "transcript", text="who would know"),
        ToolResult("lyrics", "1", "music", "transcript", text="A blue lamp."),
    ]
    recording = Recording("r", "r.wav", 1.0, 16_000, 1)
    segment = AudioSegment("s", recording, 0.0, 1.0, results=tuple(heard))

    (found,) = AgreementTool().annotate(np.zeros(16_000, np.float32), segment)

    assert found.text == ""
    assert found.score == 1.0
    assert found.values["decision"] == "drop"
    assert found.values["chosen"] == "whisper"
    assert found.values["pairs"] == {"sphinx|whisper": 1.0}


def test_recognisers_of_english_are_not_asked_about_french() -> None:
    said = (("whisper", "Le train part.", "fr"), ("moss", "a b", "en"), ("sphinx", "a b", "en"))
    heard = [
        ToolResult(name, "1", "speech", "transcript", text=text, values={"language": language})
        for name, text, language in said
    ]
    recording = Recording("r", "r.wav", 1.0, 16_000, 1)
    segment = AudioSegment("s", recording, 0.0, 1.0, results=tuple(heard))

    (found,) = AgreementTool().annotate(np.zeros(16_000, np.float32), segment)

    assert (found.values["decision"], found.text) == ("flag", "Le train part.")
    assert found.values["language"] == "fr"
