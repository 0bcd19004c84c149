"""The embedded checkpoint on the light engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.onnx import open_runner
from moss_audio.engine.runner import Piece
from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.model.tokenizer import Tokenizer
from moss_audio.recordings.audio import load_audio
from tests.embedded import NEEDS_NANO

pytestmark = NEEDS_NANO

EXAMPLES = Path(__file__).parents[3] / "examples"
QUESTIONS = {
    "speech.wav": "Transcribe the speech in this recording.",
    "events.wav": "List the sound events with their times.",
    "music.wav": "Which instrument plays?",
}
WHOLE = GenerationOptions(max_new_tokens=60)


@lru_cache
def _samples(name: str) -> np.ndarray:
    return load_audio(EXAMPLES / name).samples


def _requests(names: list[str]) -> list[Request]:
    return [Request.question(QUESTIONS[one], _samples(one), options=WHOLE) for one in names]


def _engine(bits: int | None) -> LocalEngine:
    checkpoint = Checkpoint.open("nano")
    runner = open_runner(checkpoint, bits=bits)
    return LocalEngine(runner, Tokenizer.open(checkpoint.folder), checkpoint.prompt_spec)


@pytest.fixture(scope="module")
def light() -> Iterator[LocalEngine]:
    engine = _engine(None)
    yield engine
    engine.close()


def _spoken_text() -> str:
    truth = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    text: str = truth["speech.wav"]["text"]
    return text


def test_four_bits_hear_the_examples_and_answer_alike_alone_and_together(
    light: LocalEngine,
) -> None:
    assert light.runner.description.startswith("onnx 4 bits")
    alone = {name: light.generate(_requests([name]))[0].text for name in QUESTIONS}
    heard, spoken = alone["speech.wav"].lower().split(), _spoken_text().lower().split()
    assert len(set(heard) & set(spoken)) > 0.8 * len(set(spoken))
    assert alone["music.wav"] == "Piano."
    names = list(QUESTIONS) * 3
    together = light.generate(_requests(names))
    assert [one.text for one in together] == [alone[name] for name in names]


@pytest.mark.parametrize("bits", [None, 8, 32])
def test_a_sequence_has_the_same_logits_alone_and_beside_others_bit_for_bit(
    bits: int | None,
) -> None:
    """On every processor: where a single row is added up in another order, it is never computed
    alone. Without that, 118 of 1,214 answers of a server changed with who else asked."""
    runner = open_runner(Checkpoint.open("nano"), bits=bits, threads=1)
    draw = np.random.default_rng(1)
    prompts = [draw.integers(100, 40_000, n).tolist() for n in (5, 70, 33)]
    said = [draw.integers(100, 40_000, 3).tolist() for _ in prompts]

    def logits(places: list[int]) -> dict[int, list[bytes]]:
        caches = [runner.cache() for _ in places]
        out: dict[int, list[bytes]] = {place: [] for place in places}
        for cache, place in zip(caches, places, strict=True):
            runner.forward([(cache, Piece(tuple(prompts[place])))])
        for step in range(3):
            pieces = [Piece((said[place][step],)) for place in places]
            found = runner.forward(list(zip(caches, pieces, strict=True)))
            for place, one in zip(places, found, strict=True):
                out[place].append(one.row().tobytes())
        return out

    alone = {place: logits([place])[place] for place in range(3)}
    for company in ([0, 1], [2, 1], [0, 1, 2]):
        assert logits(company) == {place: alone[place] for place in company}


def test_float32_says_token_for_token_what_torch_says() -> None:
    checkpoint = Checkpoint.open("nano")
    torch_engine = TorchEngine(
        MossAudioModel.from_pretrained(checkpoint, dtype=torch.float32),
        MossAudioProcessor.from_pretrained(checkpoint.folder),
    )
    onnx_engine = _engine(32)
    requests = _requests(list(QUESTIONS))
    for start in (0.4, 1.7, 3.1):  # other beginnings, other words
        cut = _samples("speech.wav")[int(16_000 * start) :]
        requests.append(Request.question(QUESTIONS["speech.wav"], cut, options=WHOLE))
    for ours, theirs in zip(
        onnx_engine.generate(requests), torch_engine.generate(requests), strict=True
    ):
        assert ours.token_ids == theirs.token_ids
    clip = _samples("speech.wav")
    scores = [engine.cosines(clip, range(0, 49_000, 7)) for engine in (onnx_engine, torch_engine)]
    np.testing.assert_allclose(*scores, atol=1e-4)
    for engine in (onnx_engine, torch_engine):
        engine.close()


def test_a_session_keeps_its_clip_over_questions(light: LocalEngine) -> None:
    with light.open(_samples("music.wav")) as session:
        first = session.ask(QUESTIONS["music.wav"]).text
        assert first == session.ask(QUESTIONS["music.wav"]).text == "Piano."


def test_other_bits_are_refused() -> None:
    with pytest.raises(MossAudioError, match="bits=5: nano"):
        open_runner(Checkpoint.open("nano"), bits=5)
