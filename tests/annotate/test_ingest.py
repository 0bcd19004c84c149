"""What is taken in, what is set aside, and how a long recording is cut piece by piece."""

from __future__ import annotations

import io
import itertools
import json
import os
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest

from moss_audio.annotate import flac
from moss_audio.annotate.config import IngestConfig
from moss_audio.annotate.cutting import cut
from moss_audio.annotate.ingest import read_recording
from moss_audio.annotate.inputs import InputFile, list_inputs
from moss_audio.annotate.plan import make_plan
from moss_audio.annotate.records import Aside, AudioSegment, Recording
from moss_audio.annotate.run import sort_out_shards
from moss_audio.annotate.stage import StepFault
from moss_audio.annotate.store import AnnotationStore
from moss_audio.annotate.work import Ingest
from moss_audio.recordings import load_audio
from tests.annotate import tiny
from tests.annotate.conftest import record


def _names(found: tuple[InputFile, ...], base: Path) -> list[str]:
    return [entry.name.removeprefix(f"{base}/") for entry in found]


def test_folders_files_and_patterns_in_order_and_once(tmp_path: Path) -> None:
    for name in ("b.wav", "a.flac", "sub/c.MP3", "notes.txt", ".hidden.wav", "out/audio/x.flac"):
        record(tmp_path / name)
    found = list_inputs([str(tmp_path / "b.wav"), str(tmp_path)], tmp_path / "out")
    assert _names(found.entries, tmp_path) == ["b.wav", "a.flac", "sub/c.MP3"]
    assert not found.asides
    found = list_inputs([str(tmp_path / "*" / "*.MP3"), str(tmp_path / "notes.txt")])
    assert _names(found.entries, tmp_path) == ["sub/c.MP3", "notes.txt"]  # it was named


def test_what_is_no_input_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "empty").mkdir()
    names = ["nowhere.wav", "no*.wav", "empty", "a.wav", "x.tar.gz"]
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    found = list_inputs([str(tmp_path / name) for name in names])
    assert _names(found.entries, tmp_path) == ["a.wav"]
    told = {Path(aside.path).name: aside.detail for aside in found.asides}
    assert set(told) == {"nowhere.wav", "no*.wav", "empty", "x.tar.gz"}
    assert "unpack" in told["x.tar.gz"]
    assert "download" in list_inputs(["https://example.org/a.wav"]).asides[0].detail


def test_manifests_keep_their_fields_and_set_bad_lines_aside(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    record(tmp_path / "b c.wav", seed=1)
    (tmp_path / "m.jsonl").write_text(
        '{"audio": "a.wav", "licence": "CC0"}\nnot json\n{"text": "x"}\n{"audio": "gone.wav"}\n'
    )
    (tmp_path / "m.tsv").write_text("audio\tspeaker\na.wav\tann\nb c.wav\tbob\n")
    (tmp_path / "wav.scp").write_text("one b c.wav\ntwo sox x.wav -t wav - |\n")
    found = list_inputs([str(tmp_path / "m.jsonl")])
    assert [dict(entry.provenance) for entry in found.entries] == [{"licence": "CC0"}]
    assert [aside.reason for aside in found.asides] == [
        "bad line of a manifest", "bad line of a manifest", "not found"
    ]  # fmt: skip
    found = list_inputs([str(tmp_path / "m.tsv")])
    assert [entry.provenance["speaker"] for entry in found.entries] == ["ann", "bob"]
    found = list_inputs([str(tmp_path / "wav.scp")])
    assert [entry.provenance["id"] for entry in found.entries] == ["one"]
    assert "command" in found.asides[0].detail
    (tmp_path / "bad.csv").write_text("clip\nx\n")
    assert "column 'audio'" in list_inputs([str(tmp_path / "bad.csv")]).asides[0].detail


def test_tar_members_sound_like_the_files_that_they_were(tmp_path: Path) -> None:
    sound = record(tmp_path / "a.wav", seed=3)
    side = json.dumps({"speaker": "ann"}).encode()
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(sound, "x/one.wav")
        info = tarfile.TarInfo("x/one.json")
        info.size = len(side)
        tar.addfile(info, io.BytesIO(side))
        tar.add(record(tmp_path / "b.wav", seed=4), "x/two.wav")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "s.tar").read_bytes()[:30_000])
    one, two = list_inputs([str(tmp_path / "s.tar")]).entries
    (file,) = list_inputs([str(sound)]).entries
    config = IngestConfig()
    a, b, c = (read_recording(entry, config) for entry in (one, two, file))
    assert isinstance(a, Recording)
    assert isinstance(b, Recording)
    assert isinstance(c, Recording)
    assert a.id == c.id != b.id
    assert (a.member, a.provenance) == ("x/one.wav", {"speaker": "ann"})
    assert np.array_equal(load_audio(one.open()).samples, load_audio(sound).samples)
    listed = list_inputs([str(tmp_path / "cut.tar")])
    part = read_recording(listed.entries[0], config)
    assert isinstance(part, Recording)
    assert "more" in part.provenance["warnings"][0]
    assert "cut short" in listed.asides[0].detail


def test_an_id_is_of_the_sound_and_not_of_the_file(tmp_path: Path) -> None:
    wave = record(tmp_path / "a.wav", seed=2)
    samples = load_audio(wave).samples
    (tmp_path / "b.flac").write_bytes(flac.encode(samples))
    assert np.array_equal(load_audio(tmp_path / "b.flac").samples, samples)  # nothing is lost
    entries = list_inputs([str(tmp_path)]).entries
    store, config = AnnotationStore(tmp_path / "out"), IngestConfig()
    ingest, shards = Ingest(store, config), make_plan(store, entries, config)
    ingest.do(0)
    sort_out_shards(store, ingest, shards)
    (used,) = store.rows(store.recordings(0))
    (aside,) = store.rows(store.sorted_out(0))
    assert used["recording"]["path"] == str(wave)
    assert (aside["path"], aside["reason"]) == (str(tmp_path / "b.flac"), "duplicate")
    assert str(wave) in aside["detail"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [("empty.wav", b"", "empty"), ("text.wav", b"not a sound", "unreadable")],
)
def test_files_without_sound_are_set_aside(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (entry,) = list_inputs([str(tmp_path / name)]).entries
    found = read_recording(entry, IngestConfig())
    assert isinstance(found, Aside)
    assert found.reason == reason


def test_short_ones_are_set_aside_and_the_file_s_own_rate_is_kept(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", 0.4, rate=8000)
    (entry,) = list_inputs([str(tmp_path)]).entries
    short = read_recording(entry, IngestConfig())
    assert isinstance(short, Aside)
    assert short.reason == "too short"
    found = read_recording(entry, IngestConfig(min_s=0.3))
    assert isinstance(found, Recording)
    assert (found.sample_rate, found.channels) == (8000, 1)
    assert found.duration_s == pytest.approx(0.4, abs=1e-3)


class _Marks:
    """Cuts at clicks, wherever they are: what a segment is does not depend on the block."""

    name = fingerprint = "marks"

    def __init__(self) -> None:
        self.longest = 0

    def setup(self) -> None: ...

    def segment(self, recording: Recording, samples: np.ndarray) -> list[AudioSegment]:
        self.longest = max(self.longest, len(samples))
        marks = [int(m) for m in np.flatnonzero(samples == 1.0) if m]
        edges = [0, *marks, len(samples)]
        return [
            AudioSegment("", recording, a / 16000, b / 16000) for a, b in itertools.pairwise(edges)
        ]


def test_a_long_recording_is_cut_as_if_it_had_been_there_whole() -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, 100 * 16000).astype(np.float32)
    samples[np.cumsum(rng.integers(5 * 16000, 9 * 16000, 13))] = 1.0
    recording = Recording("r", "r.wav", 100.0, 16000, 1)
    whole = list(cut(_Marks(), recording, [samples]))
    marks = _Marks()
    blocks = [samples[i : i + 20 * 16000] for i in range(0, len(samples), 20 * 16000)]
    parts = list(cut(marks, recording, blocks))
    assert [one for one, _ in parts] == [one for one, _ in whole]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(parts, whole, strict=True))
    assert sum(len(sound) for _, sound in parts) == len(samples)
    assert marks.longest < 30 * 16000  # a block and what the one before left


def test_what_has_no_boundary_is_cut_before_memory_ends() -> None:
    recording = Recording("r", "r.wav", 100.0, 16000, 1)
    marks = _Marks()
    blocks = [np.zeros(16000, np.float32)] * 10
    found = [segment for segment, _ in cut(marks, recording, blocks)]
    assert marks.longest == 3 * 16000
    assert [s.end_s for s in found] == [3.0, 6.0, 9.0, 10.0]


def test_a_segment_that_comes_twice_is_a_fault_of_the_step() -> None:
    class Twice(tiny.Cut):
        def segment(self, recording: Recording, samples: np.ndarray) -> list[AudioSegment]:
            return super().segment(recording, samples) * 2

    recording = Recording("r", "r.wav", 1.0, 16000, 1)
    with pytest.raises(StepFault, match="twice"):
        list(cut(Twice(tiny.CutConfig()), recording, [np.zeros(16000, np.float32)]))


def test_flac_of_the_same_samples_has_the_same_bytes_and_clips() -> None:
    samples = np.array([0.0, 1.5, -1.5, 0.25], np.float32)
    data = flac.encode(samples)
    assert data == flac.encode(samples)
    assert load_audio(data).samples.tolist() == [0.0, 32767 / 32768, -1.0, 0.25]
    with av.open(io.BytesIO(data)) as file:
        assert file.streams.audio[0].codec_context.sample_rate == 16000


def test_what_belongs_to_a_shard_is_known_by_the_plan_of_earlier_versions(tmp_path: Path) -> None:
    """A row of work/plan as written before lists had one reader: what it names is not new work."""
    record(tmp_path / "a.wav")
    (tmp_path / "l.jsonl").write_text('{"audio":"a.wav","n":1.50,"e":"","x":null,"t":"\\u00e9"}\n')
    os.utime(tmp_path / "a.wav", ns=(1, 2_000_000_001))
    plan = tmp_path / "out" / "work" / "plan"
    plan.mkdir(parents=True)
    row = (
        f'{{"path": "{tmp_path}/a.wav", "size": 38444, "mtime_ns": 2000000001, "member": null, '
        '"offset": 0, "provenance": {"n": 1.5, "e": "", "x": null, "t": "\u00e9"}}\n'
    )
    (plan / "00000.jsonl").write_text(row, encoding="utf-8")
    store, found = AnnotationStore(tmp_path / "out"), list_inputs([str(tmp_path / "l.jsonl")])
    (shard,) = make_plan(store, found.entries, IngestConfig())
    assert (shard.entries, shard.active) == (found.entries, (True,))
