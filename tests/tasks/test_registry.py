import subprocess
import sys

import pytest

from moss_audio.errors import MossAudioError
from moss_audio.tasks import TASK_NAMES, get_task


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_task_by_name(name):
    assert get_task(name).name == name
    assert get_task(name.replace("_", "-").upper()).name == name


def test_settings():
    assert get_task("transcribe", timestamps="word") == get_task("transcribe_word")
    assert get_task("ask", question="What?").prompt == "What?"


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("sing", {}, "sing"),
        (None, {}, "None"),
        ("caption", {"timestamps": "word"}, "timestamps"),
        ("transcribe", {"timestamps": "letter"}, "letter"),
    ],
)
def test_mistakes_are_named(name, options, named):
    with pytest.raises(MossAudioError, match=named):
        get_task(name, **options)


def test_importing_the_registry_imports_no_task():
    code = (
        "import sys, moss_audio.tasks; "
        "sys.exit(any(m.startswith('moss_audio.tasks.') and m != 'moss_audio.tasks.base' "
        "for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
