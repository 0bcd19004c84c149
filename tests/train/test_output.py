"""A result that takes the place of another is the old one or the new one, whenever it is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.model import output
from moss_audio.model.checkpoint import (
    INDEX_FILE,
    PARTS_FILE,
    SINGLE_FILE,
    Checkpoint,
    weight_files,
)
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.output import replaced_folder
from moss_audio.settings import load_config
from moss_audio.train import export, sft
from tests.train.helpers import Live, killed_at

WriteConfig = Callable[..., Path]
OLD = {
    "config.json": "old", INDEX_FILE: "old", "model-00001-of-00002.safetensors": "old 1",
    "model-00002-of-00002.safetensors": "old 2",
}  # fmt: skip
NEW = {"config.json": "new", SINGLE_FILE: "new", "processor_config.json": "new"}
USERS = {"notes.md": "mine", "run/log.txt": "mine", "run/checkpoint-3/trained.safetensors": "mine"}


def _fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _files(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def _write(folder: Path) -> None:
    with replaced_folder(folder) as fresh:
        _fill(fresh, NEW)


@pytest.mark.parametrize("way", ["exchange", "one by one", "mounted"])
def test_killed_before_any_operation_it_is_the_old_or_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Once new shards lay under an old index, where a kill came between the two."""
    if way == "one by one":
        monkeypatch.setattr(output, "_exchange", lambda *_: False)
    elif way == "mounted":
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "out")
    event, seen = 0, set()
    while True:
        event += 1
        folder = tmp_path / str(event) / "out"
        _fill(folder, {**OLD, **USERS})
        more = killed_at(event, lambda folder=folder: _write(folder))
        found = {n: t for n, t in _files(folder).items() if output._STAGING not in n}
        assert found.items() >= USERS.items()
        result = {n: t for n, t in found.items() if n not in USERS}
        if result == OLD:
            seen.add("old")
        elif result == NEW:
            seen.add("new")
        else:  # refused by whoever reads it
            assert way != "exchange"
            assert "config.json" not in result
            seen.add("refused")
        _write(folder)  # the same command again
        assert _files(folder) == {**NEW, **USERS}
        assert [p.name for p in folder.parent.iterdir()] == ["out"]
        if not more:
            break
    assert event > 10
    assert seen == ({"old", "new"} if way == "exchange" else {"old", "new", "refused"})


@pytest.mark.parametrize("form", ["plain", "packed"])
def test_an_export_over_an_export_of_the_other_form_leaves_nothing_of_it(
    write_config: WriteConfig, tmp_path: Path, form: str
) -> None:
    """A `parts.json` that stayed beside plain weights made a packed folder of them."""
    out = tmp_path / "out"
    for one in ("packed" if form == "plain" else "plain", form):
        config = write_config("run", output=str(out), align_weight=0.0, form=one)
        Live(load_config(config, sft.SftConfig)).export()
        (out / "notes.md").write_text("mine")
    assert (out / "notes.md").read_text() == "mine"
    assert (out / PARTS_FILE).exists() == (form == "packed")
    assert any(out.glob("model*.safetensors")) == (form == "plain")
    MossAudioModel.from_pretrained(out)


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_a_folder_that_loads(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    """New weights are the old ones plus 1: all tensors are of one kind or all of the other."""
    config = write_config("run", output=str(tmp_path / "out"), align_weight=0.0, form="plain")
    live = Live(load_config(config, sft.SftConfig))
    live.export()
    source = tmp_path / "out"
    before = MossAudioModel.from_pretrained(source, dtype=torch.float32).state_dict()
    moved = {name: tensor + 1 for name, tensor in before.items()}
    event, kinds = 0, set()
    while True:
        event += 1
        more = killed_at(event, lambda: export.write_plain(source, source, moved))
        assert all(path.is_file() for path in weight_files(source))
        found = MossAudioModel.from_pretrained(source, dtype=torch.float32).state_dict()
        same = [torch.equal(found[name], tensor) for name, tensor in before.items()]
        kinds.add("mixed" if any(same) and not all(same) else "old" if all(same) else "new")
        export.write_plain(source, source, before)
        if not more:
            break
    assert event > 20
    assert kinds == {"old", "new"}


def test_a_failure_leaves_the_old_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    _fill(folder, OLD)

    def fail() -> None:
        with replaced_folder(folder) as fresh:
            _fill(fresh, NEW)
            raise MossAudioError("the model does not fit")

    with pytest.raises(MossAudioError, match="does not fit"):
        fail()
    assert _files(folder) == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    """The second removed the files of the first under its hands; a mixture took the place."""
    folder = tmp_path / "out"
    with replaced_folder(folder) as fresh:
        (fresh / "config.json").write_text("first")
        with pytest.raises(MossAudioError, match="another process"), replaced_folder(folder):
            pass
    assert (folder / "config.json").read_text() == "first"
    with replaced_folder(folder) as fresh:
        (fresh / "config.json").write_text("second")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MossAudioError, match=r"cannot write .*file"):
        _write(tmp_path / "file" / "out")


def test_a_folder_of_the_old_temporary_name_is_not_ours(tmp_path: Path) -> None:
    _fill(tmp_path / "out.tmp", USERS)
    _write(tmp_path / "out")
    assert _files(tmp_path / "out.tmp") == USERS
    assert _files(tmp_path / "out") == NEW


def test_a_link_is_followed(tmp_path: Path) -> None:
    _fill(tmp_path / "disk", {**OLD, **USERS})
    (tmp_path / "out").symlink_to("disk")
    _write(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert _files(tmp_path / "disk") == {**NEW, **USERS}


def test_a_plain_result_handles_the_clips_and_thinks_as_its_source_does(
    write_config: WriteConfig, model_folder: Path, tmp_path: Path
) -> None:
    """What a folder's name or its parts said is written down where the result has neither."""
    out = tmp_path / "out"
    path = model_folder / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "thinks": True}))
    config = write_config("run", output=str(out), align_weight=0.0, form="plain")
    Live(load_config(config, sft.SftConfig)).export()
    source, result = Checkpoint.open(model_folder), Checkpoint.open(out)
    assert result.layout == "released"
    assert result.thinks
    assert result.window_s == source.window_s == 15.0
    assert result.knows == source.knows
