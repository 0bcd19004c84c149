"""What the work of one request leaves in the engine."""

from __future__ import annotations

import pytest

from moss_audio.engine import Request
from moss_audio.engine.local import LocalEngine
from moss_audio.serve.work import MeteredEngine
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import noise
from tests.engine.fake_runner import TOKENIZER, FakeRunner


@pytest.mark.parametrize(("priority", "kept"), [(None, 1), (1, 1), (-2, 0)])
def test_a_hypothesis_leaves_nothing_behind(priority: int | None, kept: int) -> None:
    """There is one every second of speech, each about a clip that nobody asks about again: they
    would drive out what is asked about."""
    engine = LocalEngine(FakeRunner(), TOKENIZER, tiny_prompt_spec())
    MeteredEngine(engine, "key", priority).generate([Request.question("u", noise(0.5))])
    assert engine.scheduler.stats().prefixes == kept
    engine.close()
