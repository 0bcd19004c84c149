from __future__ import annotations

from typing import Any

import pytest

from moss_audio.prompt import PromptSpec
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def spec() -> PromptSpec:
    return tiny_prompt_spec()
