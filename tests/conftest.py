"""Settings for every test: no network, few threads, and hypothesis without surprises in CI."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before any test module imports torch or huggingface_hub, which read these once.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A shell has what it starts in the background ignore Ctrl-C, and what that starts; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example of a property often pays for an import or a warm-up.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("local", deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW_IS_FINE,
)
settings.load_profile("ci" if os.environ.get("CI") else "local")

_INTEROP = Path(__file__).parent / "interop"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of tests/interop, so that ``-m "not interop"`` leaves it out whoever wrote it."""
    for item in items:
        if _INTEROP in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="module")
def nano() -> Any:
    """The embedded checkpoint, loaded once a module."""
    from moss_audio import api

    return api.load("nano", device="cpu")


@pytest.fixture
def commands_get_nano(nano: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands get the model that is loaded already; its files are hashed as they are."""
    monkeypatch.setattr("moss_audio.api.load", lambda name, **options: nano)
