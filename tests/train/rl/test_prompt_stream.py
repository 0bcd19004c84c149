"""What is asked at once is mixed, however long the true answers are; what cannot be asked about is
set aside; a place is one of the same data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from moss_audio.data.collate import Collator, RenderedExample
from moss_audio.data.config import DataConfig, SourceConfig
from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.prompt import Rendered
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from moss_audio.train.rl.prompts import Fitted, PromptStream

_ASKED = {"audio": "clip.wav", "question": "?", "text": "no", "duration": 1.0}
_LONG = {**_ASKED, "audio": "long.wav", "duration": 20.0}
_DOCUMENT = {"text": "Once upon a time."}
_EMPTY = {**_ASKED, "audio": "empty.wav"}


def _listed(folder: Path, *lines: dict[str, object], **fields: object) -> DataConfig:
    """A list of lines, and the clips that they may name."""
    for name, length in (("clip", 16_000), ("long", 320_000), ("empty", 80)):
        soundfile.write(folder / f"{name}.wav", np.zeros(length, np.float32), 16_000)
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    how = {"batch_audio_s": 50.0, "endless": True, "seed": 1, **fields}
    return DataConfig((SourceConfig("jsonl", str(path)),), **how)  # type: ignore[arg-type]


def _fitting(config: DataConfig) -> Fitted:
    tokenizer, spec = tiny_tokenizer(), tiny_prompt_spec()
    most, over_long = config.max_tokens, config.over_long
    return Collator(tokenizer, spec, 16, max_tokens=most, over_long=over_long).fitted


def test_questions_with_short_and_long_answers_come_mixed(tmp_path: Path) -> None:
    """In the order of training batches they would come apart: a rollout would know one answer."""
    answers = ("no", "yes, as far as I can hear")
    lines = [{**_ASKED, "text": answers[i % 2]} for i in range(400)]
    stream = PromptStream(_listed(tmp_path, *lines, batch_audio_s=5.0))
    for _ in range(8):
        truths = [str(one.example.messages[-1]["content"]) for one in stream.take(40)]
        # half of 40 on average; beyond these once in 5,000 times
        assert 8 < truths.count("no") < 32


def test_what_cannot_be_asked_about_is_set_aside(tmp_path: Path) -> None:
    """One such line ended the run, and the resumed one, too."""
    config = _listed(tmp_path, *[_ASKED] * 6, _LONG, _DOCUMENT, _EMPTY, max_tokens=150)
    stream = PromptStream(config, fitted=_fitting(config))
    asked = [one.example.id for one in stream.take(30)]
    assert set(asked) == {f"list/{line}" for line in range(1, 7)}
    assert stream.taken + 9 * stream.epoch > 30
    # unless they are all that there is
    for line, why in (
        (_LONG, "tokens, at most 150 are allowed"),
        (_DOCUMENT, "nothing is asked before its answer"),
        (_EMPTY, "a clip of 80 samples"),
    ):
        config = _listed(tmp_path, line, max_tokens=150)
        with pytest.raises(MossAudioError, match=f"none of 64 examples in a row .*{why}"):
            PromptStream(config, fitted=_fitting(config)).take(1)
    config = _listed(tmp_path, _LONG, max_tokens=150, over_long="error")
    with pytest.raises(MossAudioError, match="raise max_tokens"):
        PromptStream(config, fitted=_fitting(config)).take(1)


def test_a_clip_that_was_shortened_is_asked_about_as_it_is(tmp_path: Path) -> None:
    def halved(example: Example) -> RenderedExample:
        half = tuple(clip[:8000] for clip in example.clips)
        return RenderedExample(replace(example, clips=half), Rendered([], [], []))

    (prompt,) = PromptStream(_listed(tmp_path, _ASKED), fitted=halved).take(1)
    assert [len(clip) for clip in prompt.example.clips] == [8000]


def test_clips_that_nobody_hears_are_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "sentences.tsv").write_text("train\ttemplate\tthe user\n")
    drills = SourceConfig("drills", str(tmp_path), "train")
    config = DataConfig((drills,), batch_audio_s=50.0, endless=True)
    with pytest.raises(MossAudioError, match="its audio tokens are made of words"):
        PromptStream(config).take(1)


def test_a_place_in_other_data_is_refused(tmp_path: Path) -> None:
    """It named other examples: some came twice in an epoch and some not at all."""
    config = _listed(tmp_path, *[_ASKED] * 20)
    stream = PromptStream(config)
    stream.take(5)
    state = json.loads(json.dumps(stream.state_dict()))
    expected = [one.example.id for one in stream.take(15)]
    assert [one.example.id for one in PromptStream(config, 0, 1, state).take(15)] == expected
    with pytest.raises(MossAudioError, match=r"the data changed .* seed was 1 and is 2"):
        PromptStream(replace(config, seed=2), 0, 1, state)
    with pytest.raises(MossAudioError, match="world_size was 1 and is 2"):
        PromptStream(config, 0, 2, state)
    with pytest.raises(MossAudioError, match=r"sources was \[\['list', 20, .* is \[\['list', 21"):
        PromptStream(_listed(tmp_path, *[_ASKED] * 21), 0, 1, state)
    del state["order"]  # as states were written before
    assert PromptStream(replace(config, seed=2), 0, 1, state).taken == 5
