"""Who and what may be heard where: configurations, prompts, people, and the check of a folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.cli import main
from moss_audio.errors import MossAudioError
from moss_audio.scenes import human, text
from moss_audio.scenes.check import check
from moss_audio.scenes.config import read_config
from moss_audio.scenes.human import PromptSource, key_of, parts_of, prompt_sources, prompts_of
from moss_audio.scenes.sounds import recorded
from moss_audio.scenes.sounds.recorded import SoundSource, sound_sources
from moss_audio.scenes.summary import summarise
from moss_audio.scenes.voices.people import held_out_of, person_of

CONFIG = """
seed: 7
hours: {train: 1, val: 0.1, test: 0.1, test-unseen: 0.1}
kinds: {speech: 0.7, human: 0.3}
engines: {flite: 1.0}
texts: {template: 1.0}
held_out_speakers: [festival/ked]
prompts: {asterisk-fr: 1.0}
"""


def _config(tmp_path: Path, old: str = "", new: str = "") -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace(old, new) if old else CONFIG)
    return path


def test_english_recordings_are_refused_in_every_split_but_their_own(tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match="English recordings are test only"):
        read_config(_config(tmp_path, "asterisk-fr", "asterisk-en"))
    for split in ("train", "val", "test", "test-unseen"):
        with pytest.raises(MossAudioError, match="test only"):
            prompts_of(prompt_sources()["asterisk-en"], split, with_test=True, held_out=False)
    with pytest.raises(MossAudioError, match="English recordings only"):
        prompts_of(prompt_sources()["asterisk-fr"], "human-en", with_test=True, held_out=False)


def test_the_spanish_speaker_is_the_english_one(tmp_path: Path) -> None:
    both = CONFIG.replace("asterisk-fr", "asterisk-es").replace(
        "train: 1,", "train: 1, human-en: 0.2,"
    )
    (tmp_path / "c.yaml").write_text(both)
    with pytest.raises(MossAudioError, match=r"asterisk-es.*same speaker"):
        read_config(tmp_path / "c.yaml")
    config = read_config(_config(tmp_path, "train: 1,", "train: 1, human-en: 0.2,"))
    assert config.prompts_for("human-en") == {"asterisk-en": 1.0}
    assert config.prompts_for("train") == {"asterisk-fr": 1.0}
    assert config.prompts_for("test-unseen") == {}


def test_a_person_is_held_out_in_every_engine() -> None:
    speakers = ("flite/slt-0", "flite/slt-4", "flite/rms-0", "festival/slt-2", "festival/ked-0")
    assert person_of("flite/slt-3") == person_of("festival/slt-0")
    assert held_out_of(speakers, ("festival/slt",)) == {
        "flite/slt-0", "flite/slt-4", "festival/slt-2",
    }  # fmt: skip
    assert held_out_of(speakers, ("flite/rms-0",)) == {"flite/rms-0"}
    assert held_out_of(speakers, ("festival",)) == {s for s in speakers if "rms" not in s}
    assert held_out_of(speakers, ()) == frozenset()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("seed: 7", "seed: x", "seed"),
        ("prompts: {asterisk-fr: 1.0}", "prompts: {asterisk-xx: 1}", "asterisk-xx"),
        ("prompts: {asterisk-fr: 1.0}", "", "name recordings"),
        ("seed: 7", "seed: 7\nsounds: [nothing]", "sounds"),
        ("seed: 7", "seed: 7\noverlap_speakers: 1.5", "overlap_speakers"),
        ("seed: 7", "seed: 7\neffects: {room: -1}", "effects.room"),
        ("seed: 7", "seed: 7\nshard_minutes: 0", "shard_minutes"),
        ("[festival/ked]", "festival/ked", "held_out_speakers"),
        ("seed: 7", "seed: [7", "not valid YAML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(MossAudioError) as caught:
        read_config(_config(tmp_path, old, new))
    assert named in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def _prompt_source(folder: Path, texts: dict[str, str], language: str = "fr") -> PromptSource:
    sounds = folder / "sounds"
    sounds.mkdir(exist_ok=True)
    for name in texts:
        (sounds / f"{name}.wav").write_bytes(b"x" * 100)
    with gzip.open(folder / "texts.gz", "wt", encoding="utf-8") as out:
        out.write("; a comment\n" + "".join(f"{k}: {v}\n" for k, v in texts.items()))
    return PromptSource(
        "asterisk-fr", language, sounds, folder / "texts.gz", ("none",), "CC-BY-SA-3.0", "made"
    )


_SENTENCE = st.lists(
    st.sampled_from(("agent", "appel", "été", "dièse", "numéro", "occupé")), min_size=1, max_size=3
).map(" ".join)


@settings(max_examples=25)
@given(
    spoken=st.lists(st.lists(_SENTENCE, min_size=1, max_size=3), min_size=1, max_size=25),
    with_test=st.booleans(),
)
def test_no_sentence_of_the_prompts_is_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, spoken: list[list[str]], with_test: bool
) -> None:
    texts = {f"p{i}": ". ".join(parts) + "." for i, parts in enumerate(spoken)}
    source = _prompt_source(tmp_path_factory.mktemp("prompts"), texts)
    seen: dict[str, str] = {}
    count = 0
    for split in ("train", "val", "test", "test-unseen"):
        for prompt in prompts_of(source, split, with_test=with_test, held_out=False):
            count += 1
            for part in parts_of(prompt.text):
                assert seen.setdefault(part, split) == split
    assert count == len(texts)
    assert set(seen.values()) <= {"train", "val", *(["test"] if with_test else [])}
    held = prompts_of(source, "test-unseen", with_test=with_test, held_out=True)
    assert len(held) == len(texts)
    assert prompts_of(source, "train", with_test=with_test, held_out=True) == []


def test_prompts_whose_text_is_not_what_is_said_are_left_out(tmp_path: Path) -> None:
    source = _prompt_source(
        tmp_path,
        {"a": "Composez votre numéro.", "b": "Appuyez sur 3.", "c": "[son de singes]",
         "d": "(ahooga)", "e": "étoile * ou #", "f": "Fin.vm-next: Suite"},
    )  # fmt: skip
    assert human.read_texts(source) == {"a": "Composez votre numéro."}
    missing = PromptSource(
        "asterisk-fr", "fr", tmp_path / "no", tmp_path / "no.gz", ("a-package",), "", ""
    )
    with pytest.raises(MossAudioError, match="apt-get install a-package"):
        human.read_texts(missing)


@given(st.text(max_size=40))
def test_keys_ignore_case_and_punctuation(line: str) -> None:
    assert key_of(line) == key_of(f"  {key_of(line)}... ")


@given(st.lists(st.text("abcde '", min_size=1, max_size=12), max_size=40))
def test_a_test_split_takes_from_train_alone(lines: list[str]) -> None:
    for line in lines:
        without, with_test = text.split_of(line), text.split_of(line, with_test=True)
        assert with_test == without or (without, with_test) == ("train", "test")


def _sound_source(folder: Path, names: dict[str, bytes]) -> SoundSource:
    for name, content in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return SoundSource(
        "a-package", (folder,), "CC0-1.0", "made", (("bell", "bell*"), ("horn", "*horn*"))
    )


@settings(max_examples=20)
@given(contents=st.lists(st.integers(0, 9), min_size=1, max_size=16))
def test_equal_files_are_never_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, contents: list[int]
) -> None:
    names = {f"bell{i}.wav" if i % 2 else f"x/horn{i}.ogg": bytes([c])
             for i, c in enumerate(contents)}  # fmt: skip
    source = _sound_source(tmp_path_factory.mktemp("sounds"), names)
    by_split = {
        split: [p for files in recorded.files_by_label(split, (source,)).values() for p in files]
        for split in ("train", "val", "test", "test-unseen")
    }
    marks = {split: {recorded.digest(p) for p in files} for split, files in by_split.items()}
    assert by_split["train"] == by_split["val"] == by_split["test"]
    assert not marks["train"] & marks["test-unseen"]
    assert len(marks["train"] | marks["test-unseen"]) == len(set(contents))


def test_a_theme_with_a_sound_under_two_names_has_it_in_one_split(tmp_path: Path) -> None:
    """The freedesktop theme's equal files were split by name where no sounds were named, and two
    that training heard came again as never heard."""
    names = ("complete", "message", "dialog-error", "device-added", "power-plug", "window-question")
    labels = sound_sources()["sound-theme-freedesktop"].labels
    theme = (SoundSource("a-theme", (tmp_path,), "", "", labels),)
    for pair in range(3):  # each sound has two names
        for name in names[2 * pair : 2 * pair + 2]:
            (tmp_path / f"{name}.oga").write_bytes(bytes([pair]))
    by_split = {
        split: [p for files in recorded.files_by_label(split, theme).values() for p in files]
        for split in ("train", "test-unseen")
    }
    train, unseen = ({recorded.digest(p) for p in files} for files in by_split.values())
    assert not train & unseen
    assert (len(by_split["train"]), len(by_split["test-unseen"])) == (2, 1)
    kept = {recorded.name_of(p, theme) for p in recorded.all_files(theme)}
    assert {name.partition("/")[2] for name in kept} == {
        "complete.oga", "device-added.oga", "power-plug.oga",  # the first name of each
    }  # fmt: skip


def test_installed_sounds_have_one_label_each() -> None:
    sources = tuple(sound_sources().values())
    files = recorded.all_files(sources)
    assert len(files) == len(set(files))
    assert len({recorded.name_of(p, sources) for p in files}) == len(files)
    assert all(s.licence and s.provenance for s in sources)


def _scene(number: int, split: str, **more: Any) -> dict[str, Any]:
    said = more.pop("said", f"sentence {number}")
    sentence = {"text": said, "start": 0.1, "end": 0.9}
    return {
        "id": f"shard-00000-{number:04d}", "kind": "speech", "split": split,
        "offset_samples": 0, "num_samples": 16_000, "voice": f"hibari/{number}", "words": [],
        "sentences": [sentence], "events": [], "music": None, "snr_db": None, "seed": 0, **more,
    }  # fmt: skip


def _event(source: str) -> dict[str, Any]:
    return {"label": "bell", "start": 0.1, "end": 0.4, "source": source}


CLEAN = [
    _scene(0, "train", events=[_event("synthesised"), _event("a/bell.ogg")]),
    _scene(1, "val", voice="flite/slt-1", events=[_event("synthesised"), _event("a/bell.ogg")]),
    _scene(2, "test", voice="flite/slt-1", language="fr", said="sentence 0"),
    _scene(3, "test-unseen", voice="flite/rms-0", events=[_event("a/bell2.ogg")]),
    _scene(4, "human-en", voice="human/asterisk-en", said="Thank you. Goodbye.",
           speech_source="asterisk-en/x.wav"),
]  # fmt: skip
LEAKS = {
    "sentence": [_scene(5, "val", said="Sentence, 0!")],
    "part": [_scene(5, "train", said="Goodbye!")],
    "voice": [_scene(5, "train", voice="flite/rms-4")],
    "overlap": [
        _scene(5, "train", sentences=[{"text": "x", "start": 0.1, "end": 0.2, "voice": "flite/rms"},
                                      {"text": "y", "start": 0.1, "end": 0.3, "voice": "b/2"}])
    ],
    "person": [_scene(5, "train", voice="human/asterisk-es", language="es")],
    "sound": [_scene(5, "val", events=[_event("a/bell2.ogg")])],
    "copy": [_scene(5, "train", events=[_event("b/other.ogg")])],
    "prompt": [
        _scene(5, "train", speech_source="asterisk-fr/a.wav", language="fr"),
        _scene(6, "val", speech_source="asterisk-fr/a.wav", language="fr"),
    ],
}  # fmt: skip


def _folder(root: Path, scenes: list[dict[str, Any]]) -> Path:
    shard = root / "shard-00000"
    shard.mkdir(parents=True)
    (shard / "audio.i16").write_bytes(np.zeros(16_000, "<i2").tobytes())
    (shard / "scenes.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scenes))
    (shard / ".completed").touch()
    marks = {"a/bell2.ogg": "0123", "b/other.ogg": "0123", "a/bell.ogg": "9999"}
    (root / "sources.json").write_text(json.dumps({"sources": [], "sound_files": marks}))
    return root


def test_a_clean_folder_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _folder(tmp_path / "a", CLEAN)
    report = check(root)
    assert report.leaks == ()
    assert report.scenes == 5
    assert report.counts == {"sentence": 5, "voice": 4, "sound": 2, "prompt": 1}
    assert main(["scenes", "check", str(root)]) == 0
    assert "5 scenes" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(LEAKS))
def test_every_leak_is_found_and_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _folder(tmp_path / "a", CLEAN + LEAKS[name])
    (leak,) = check(root).leaks
    what = {"part": "sentence", "overlap": "voice", "person": "voice", "copy": "sound"}
    assert leak.what == what.get(name, name)
    assert "shard-00000-0005" in str(leak)
    assert main(["scenes", "check", str(root)]) == 1
    done = capsys.readouterr()
    assert leak.name in done.out
    assert len(done.err.splitlines()) == 1
    assert main(["scenes", "check", "--json", str(root)]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_check_and_info_of_what_holds_no_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("check", "info"):
        for folder in ("empty", "nowhere"):
            assert main(["scenes", command, str(tmp_path / folder)]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert folder in line


def test_info_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _folder(tmp_path / "a", CLEAN)
    facts = summarise(root)
    assert facts["hours"] == round(5.0 / 3600, 4)
    assert sum(facts["split"].values()) == pytest.approx(5.0 / 3600, abs=2e-4)
    assert facts["voice"]["flite/slt-1"] == round(1.6 / 3600, 4)
    assert facts["labels"] == {"bell": 5}
    assert facts["source"]["a"] == pytest.approx(0.9 / 3600, abs=1e-4)
    assert main(["scenes", "info", str(root)]) == 0
    out = capsys.readouterr().out
    for part in ("train", "human-en", "human/asterisk-en", "synthesised"):
        assert part in out
    assert main(["scenes", "info", "--json", str(root)]) == 0
    assert json.loads(capsys.readouterr().out)["scenes"] == 5
