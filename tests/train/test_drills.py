"""Reader drills: text becomes audio tokens, spoilt as the adapter spoils them, and is learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.sources import open_source
from moss_audio.data.sources.drills import reading
from moss_audio.errors import MossAudioError
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.settings import load_config
from moss_audio.train import align, sft
from moss_audio.train.data import known_clips, loading, only
from moss_audio.train.drills import DrillConfig, ReaderDrills, drills_of
from moss_audio.train.pieces import SpokenPieces, frame_targets
from moss_audio.train.setup import load_for_training
from tests.train.helpers import losses

WriteConfig = Callable[..., Path]
CLEAN = DrillConfig(replaced=0.0, blended=0.0, noise=0.0)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    rows = [f"train\ttemplate\tthe user {n} the document." for n in ("say", "the", "user")]
    rows += ["train\tword\tdocument", "test-unseen\ttemplate\tnever heard."]
    (folder / "sentences.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def sources(scenes: Path, texts: Path) -> dict[str, Any]:
    return {
        "sources": [
            {"kind": "scenes", "path": str(scenes), "split": "train", "group": "audio"},
            {"kind": "drills", "path": str(texts), "split": "train", "group": "drills"},
        ],
        "groups": {"audio": 0.5, "drills": 0.5},
        "batch_tokens": 200,
        "endless": True,
    }


@pytest.fixture
def config(write_config: WriteConfig, scenes_folder: Path, texts: Path, tmp_path: Path) -> Path:
    return write_config(
        "drills", data=sources(scenes_folder, texts), output=str(tmp_path / "out"), align_weight=0.3
    )


class Ready:
    """A model, a batch with clips and drills in it, and the drills."""

    def __init__(self, path: Path, how: DrillConfig) -> None:
        self.config = load_config(path, sft.SftConfig)
        self.model, self.tokenizer, spec = load_for_training(Path(self.config.model))
        clips = known_clips(self.config.data)
        self.spoken = SpokenPieces(clips, self.tokenizer, self.model.get_parameter(EMBEDDING), 24.0)
        loader = loading(self.config.data, self.model, self.tokenizer, spec)
        self.drills: ReaderDrills = drills_of(
            self.model, self.spoken, loader(None, 0, 1), how, torch.float32
        )
        batches = iter(loader(None, 0, 1))
        self.batch: Batch = next(b for b in batches if any(b.made) and not all(b.made))
        with torch.no_grad():
            encoded = self.model.audio_encoder(
                self.batch.audio_data, self.batch.audio_data_seqlens, self.batch.longest
            )
            self.plain = self.model.adapt(encoded)
            self.read = self.drills(self.batch, self.plain)
        self.made = self.spoken.drill_targets(self.batch)


def test_a_reading_has_one_to_six_tokens_for_each_piece() -> None:
    words = ["the", "documentation,", "is", "here."]
    encode = {w: [n] for n, w in enumerate(["\n", *words])}
    for seed in range(50):
        made = reading(words, np.random.default_rng(seed))
        targets = frame_targets(
            made.words, (), made.n_tokens, lambda t: encode[t if t == "\n" else t.strip()]
        )
        counts = [targets.count(n) for n in range(1, 5)]
        assert 1 <= counts[0] <= 6
        assert 4 <= counts[1] <= 24
        assert [t for t in targets if t] == sorted(t for t in targets if t)


def test_clean_drills_are_the_embeddings_of_their_words(config: Path) -> None:
    ready = Ready(config, CLEAN)
    drilled = ready.made != IGNORE
    assert 0 < int(drilled.sum()) < len(drilled)
    expected = F.normalize(ready.spoken.table[ready.made[drilled]].float(), dim=-1)
    found = F.normalize(ready.read.embeds[drilled], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    # clips that are heard stay as they are; mergers are silent in drills alone
    torch.testing.assert_close(ready.read.embeds[~drilled], ready.plain.embeds[~drilled])
    for before, after in zip(ready.plain.deepstack, ready.read.deepstack, strict=True):
        assert not after[drilled].any()
        torch.testing.assert_close(after[~drilled], before[~drilled])
    # and nothing in a drill is learnt by the alignment loss
    assert (ready.spoken.targets(ready.batch)[drilled] == IGNORE).all()


def test_their_words_are_the_answer(config: Path, texts: Path) -> None:
    data = load_config(config, sft.SftConfig).data
    source = open_source(data.sources[1], data)
    answers = set()
    for index in range(len(source)):
        example = draw(source, index, source.id(index), 0, 0, data.augment)
        assert isinstance(example, Example)
        answer = example.messages[-1]["content"]
        assert answer == " ".join(word.text for word in example.words[0])
        assert not example.clips[0].any()
        answers.add(answer)
    assert any("document" in a for a in answers)
    assert not any("never" in a for a in answers)  # what tests say trains nowhere


def test_spoilt_drills_have_the_lengths_of_the_adapters_outputs(config: Path) -> None:
    ready = Ready(config, DrillConfig())
    drilled = ready.made != IGNORE
    lengths = ready.read.embeds[drilled].norm(dim=-1)
    assert float(lengths.mean()) == pytest.approx(ready.drills.mean, rel=0.2)
    unit = F.normalize(ready.spoken.table[ready.made[drilled]].float(), dim=-1)
    alike = (F.normalize(ready.read.embeds[drilled], dim=-1) * unit).sum(-1)
    assert 0.2 < float(alike.mean()) < 0.95
    own = torch.arange(len(ready.drills.confusions))[:, None]
    assert (ready.drills.confusions != own).all()


def test_a_run_with_drills_learns(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = losses(sft, config, monkeypatch)
    assert len(found) == 6
    assert np.isfinite(found).all()


def test_alignment_leaves_drills_out(config: Path) -> None:
    data = load_config(config, sft.SftConfig).data
    assert [s.kind for s in only(data, ["transcribe"], ["jsonl"]).sources] == ["scenes"]
    assert align.AlignConfig.objective == "dense"


def test_a_folder_without_sentences_is_told(config: Path, texts: Path) -> None:
    (texts / "sentences.tsv").unlink()
    data = load_config(config, sft.SftConfig).data
    with pytest.raises(MossAudioError, match=r"sentences\.tsv: not found"):
        open_source(data.sources[1], data)
