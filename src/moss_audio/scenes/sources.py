"""What a set of scenes is made of: every source with version, licence and provenance."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic
from moss_audio.scenes.config import ScenesConfig
from moss_audio.scenes.human import HUMAN_EN, PromptSource, prompt_sources, read_texts
from moss_audio.scenes.sounds.recorded import SoundSource, all_files, digest, name_of
from moss_audio.scenes.voices import ENGINES
from moss_audio.settings import packaged

SOURCES = "sources.json"


@dataclass(frozen=True)
class SceneSource:
    """One source of a set of scenes; `files` counts recordings, None where there are none.

    `version` names every package of it that is installed; None: it is not installed.
    """

    name: str
    kind: str  # voice, sound, prompts, music or text
    version: str | None
    licence: str
    provenance: str
    files: int | None = None


def collect(config: ScenesConfig) -> list[SceneSource]:
    """All sources that the configuration names, the missing ones too, in a fixed order."""
    terms = packaged(__package__, "sources.toml")
    found = [_voice(name, **terms["voices"][name]) for name in _engines(config)]
    found += [_sound(source) for source in config.sound_sources]
    found += [_prompts(source) for source in _prompt_sources(config)]
    if config.kinds.get("music", 0) > 0:
        version = _versions(("libfluidsynth3", "fluid-soundfont-gm"))
        provenance = "FluidSynth (LGPL-2.1+) playing scores of our own on the Fluid sound font"
        found.append(SceneSource("fluidsynth", "music", version, "MIT (sound font)", provenance))
    found.append(
        SceneSource("templates", "text", "own", "Apache-2.0", "Sentences composed by this package")
    )
    found += [SceneSource(n, "text", _versions([n]), **t) for n, t in terms["texts"].items()]
    return found


def write(config: ScenesConfig, out: Path, report: Callable[[str], None]) -> None:
    """Write `sources.json` into `out`, or compare with the one that is there.

    Missing sounds are reported and left out. Raises MossAudioError if recorded prompts are missing,
    or if other sources were installed when `out` was started: which files are held out depends on
    those installed, so a held-out file might have been trained on.
    """
    for source in _prompt_sources(config):
        read_texts(source)  # says what to install
    sources = collect(config)
    named = config.sound_sources
    data = {
        "sources": [asdict(s) for s in sources],
        # Equal marks are equal files, whatever they are called.
        "sound_files": {name_of(p, named): digest(p) for p in all_files(named)},
    }
    missing = [s.name for s in sources if s.version is None and s.kind == "sound"]
    if missing:
        report(f"sounds not installed, left out: {' '.join(missing)}")
    path = out / SOURCES
    if path.exists():
        changed = _changed(read(path), data)
        if changed:
            raise MossAudioError(
                f"{path}: started with other sources ({', '.join(changed)}); install those again "
                "or use another folder"
            )
        return
    write_atomic(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Read `sources.json`. Raises MossAudioError if it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {
            "sources": [asdict(SceneSource(**s)) for s in data["sources"]],
            "sound_files": {str(k): str(v) for k, v in data["sound_files"].items()},
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MossAudioError(f"{path}: not a list of sources ({error})") from error


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before = {s["name"]: s["version"] for s in old["sources"]}
    after = {s["name"]: s["version"] for s in new["sources"]}
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    if not names and old["sound_files"] != new["sound_files"]:
        names = ["recorded sounds, or the rule for equal ones"]
    return names


def _engines(config: ScenesConfig) -> list[str]:
    held = {h.split("/", 1)[0] for h in config.held_out_speakers}
    return [n for n in ENGINES if config.engines.get(n, 0) > 0 or n in held]


def _prompt_sources(config: ScenesConfig) -> list[PromptSource]:
    names = [n for n, share in sorted(config.prompts.items()) if share > 0]
    if config.hours.get(HUMAN_EN, 0) > 0:
        names.append("asterisk-en")
    return [prompt_sources()[n] for n in names]


def _voice(
    name: str,
    licence: str,
    provenance: str,
    debian: Sequence[str] = (),
    python: Sequence[str] = (),
) -> SceneSource:
    return SceneSource(name, "voice", _versions(debian, python), licence, provenance)


def _sound(source: SoundSource) -> SceneSource:
    files = len(all_files((source,)))
    version = _versions((source.name,)) if files else None
    return SceneSource(source.name, "sound", version, source.licence, source.provenance, files)


def _prompts(source: PromptSource) -> SceneSource:
    files = sum((source.folder / f"{n}.wav").is_file() for n in read_texts(source))
    version = _versions(source.packages)
    return SceneSource(source.name, "prompts", version, source.licence, source.provenance, files)


def _versions(debian: Sequence[str], python: Sequence[str] = ()) -> str | None:
    """`name version, ...` of those installed; None if none is."""
    found = []
    for name in debian:
        try:
            done = subprocess.run(
                ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:  # not a Debian system: the files may be there all the same
            continue
        status, _, version = done.stdout.partition(" ")
        if done.returncode == 0 and status == "installed":
            found.append(f"{name} {version}")
    for name in python:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found) or None
