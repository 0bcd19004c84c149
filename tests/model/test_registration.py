"""transformers' Auto classes, and vLLM's plug-in, know a folder that we wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("micro")
    spec = tiny_prompt_spec()
    ids = {
        "audio_token_id": spec.audio_token_id,
        "audio_start_id": spec.audio_start_id,
        "audio_end_id": spec.audio_end_id,
    }
    MossAudioModel(preset("micro", **ids)).save_pretrained(path)
    MossAudioProcessor(tiny_tokenizer(), **ids).save_pretrained(path)
    return path


_AUTO = """
import sys
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor, AutoTokenizer
for auto in (AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor):
    print(type(auto.from_pretrained(sys.argv[1])).__name__)
AutoTokenizer.from_pretrained(sys.argv[1])
"""


# One process each: what is registered once stays so.
@pytest.mark.parametrize(
    "first",
    [
        "import moss_audio; moss_audio.MossAudioProcessor",
        # as vLLM calls it, but where any import of vLLM itself would fail
        "import sys; sys.modules['vllm'] = None\n"
        "from moss_audio.model.vllm_plugin import register; register(); register()",
    ],
    ids=["package", "plug-in"],
)
def test_the_auto_classes_read_our_folder_without_a_warning(first: str, folder: Path) -> None:
    """An unregistered model_type made AutoTokenizer guess, and warn of a model of type ``."""
    done = subprocess.run(
        [sys.executable, "-c", first + _AUTO, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == [
        "MossAudioConfig",
        "MossAudioModel",
        "MossAudioModel",
        "MossAudioProcessor",
    ]
    assert "model of type" not in done.stderr
