"""The end of the interpreter waits for a scheduler's thread, whatever that is doing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_DROPPED = """
import time
from moss_audio.engine import Request
from moss_audio.engine.local import LocalEngine
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.fake_runner import TOKENIZER, FakeRunner

class Weights:
    def __del__(self):
        time.sleep(0.5)
        print("freed", flush=True)

def main():
    runner = FakeRunner()
    runner.weights = Weights()
    LocalEngine(runner, TOKENIZER, tiny_prompt_spec()).generate([Request.question("?")])

main()
time.sleep(0.2)  # by now the thread is at it, and the loop is gone
"""


def test_the_model_of_an_engine_that_was_dropped_is_freed_before_the_end() -> None:
    """Its thread, which nobody waited for, freed torch's tensors beneath the dying interpreter:
    one command in six ended with "terminate called" after its work was done."""
    done = subprocess.run(
        [sys.executable, "-c", _DROPPED],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "freed\n", "")
