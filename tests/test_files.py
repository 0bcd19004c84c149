"""A file holds the old or the whole new, whatever goes wrong, text or bytes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from moss_audio import files
from moss_audio.errors import MossAudioError
from moss_audio.files import replaced, write_atomic


def test_text_and_bytes_replace_a_file_and_keep_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "h\u00e9\n")
    assert path.read_bytes() == "h\u00e9\n".encode()
    path.chmod(0o640)
    write_atomic(path, b"\x00\xff", sync=False)
    assert path.read_bytes() == b"\x00\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    write_atomic(link, "through\n")
    assert link.is_symlink()
    assert path.read_text() == "through\n"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "link.txt"]


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(MossAudioError, match=r"a\.txt.*No space left"):
        write_atomic(path, "new")
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_a_library_that_makes_the_file_anew_for_its_owner_alone(tmp_path: Path) -> None:
    """safetensors does: a shared folder's packed parts were once readable by one user only."""
    path = tmp_path / "parts"
    with replaced(path) as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)
        temporary.write_bytes(b"x")
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_body_that_fails_keeps_its_own_error(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        with replaced(path) as temporary:
            temporary.write_text("half")
            raise KeyError("x")

    with pytest.raises(KeyError):
        half(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match="nowhere") as caught:
        write_atomic(tmp_path / "nowhere" / "a.txt", "x")
    assert "\n" not in str(caught.value)


def test_names_are_bounded_in_bytes(tmp_path: Path) -> None:
    """78 characters of three bytes each, and a name that is not UTF-8: both are legal names."""
    for name in ("\u8a9e" * 78 + ".json", "\U0001f600" * 61 + ".json", "caf\udce9" * 40 + ".json"):
        write_atomic(tmp_path / name, "{}")
        assert (tmp_path / name).read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 3
