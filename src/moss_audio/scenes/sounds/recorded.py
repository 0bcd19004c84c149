"""Recorded sounds from Debian packages, by label and split."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from moss_audio.scenes.sounds.packages import CLASSIC, SUFFIXES, SoundSource
from moss_audio.scenes.voices.base import to_16k

_CLASSIC_LABELS: tuple[tuple[str, str], ...] = (
    ("drum loop", "loop_amen* loop_breakbeat loop_compus loop_mehackit* loop_industrial loop_mika "
                  "loop_safari loop_perc* loop_electric"),
    ("tabla", "tabla_* loop_tabla"),
    ("machine noise", "loop_3d_printer"),
    ("bass drum", "bd_* drum_heavy_kick drum_bass_*"),
    ("snare drum", "drum_snare_* sn_* elec_snare elec_hi_snare elec_lo_snare elec_mid_snare"),
    ("cymbal", "drum_cymbal_* drum_splash_* elec_cymbal"),
    ("tom drum", "drum_tom_* elec_fuzz_tom"),
    ("cowbell", "drum_cowbell"),
    ("drum roll", "drum_roll"),
    ("bell", "perc_bell* elec_bell bell"),
    ("triangle", "elec_triangle"),
    ("blip", "elec_beep elec_blip* elec_plip elec_ping elec_blup elec_pop"),
    ("bass note", "bass_hit_c bass_thick_c bass_hard_c bass_woodsy_c bass_voxy_hit_c bass_drop_c"),
    ("electric guitar", "guit_*"),
    ("burp", "misc_burp"),
    ("crow cawing", "misc_crow"),
    ("boom", "misc_cineboom perc_impact*"),
    ("door closing", "perc_door"),
    ("finger snap", "perc_snap*"),
    ("whoosh", "perc_swash perc_swoosh ambi_swoosh ambi_dark_woosh"),
    ("cash register", "perc_till"),
    ("vinyl scratch", "vinyl_scratch vinyl_backspin vinyl_rewind"),
    ("vinyl crackle", "vinyl_hiss"),
    ("choir", "ambi_choir"),
    ("drone", "ambi_drone ambi_haunted_hum loop_drone_g_97 ambi_glass_hum"),
    ("piano note", "ambi_piano"),
    ("alarm", "alarm-clock-elapsed"),
    ("camera shutter", "camera-shutter screen-capture"),
    ("phone ringing", "phone-incoming-call"),
    ("busy tone", "phone-outgoing-busy"),
    ("ringback tone", "phone-outgoing-calling"),
    ("notification", "complete message message-new-instant dialog-* device-* service-* power-* "
                     "network-* window-* suspend-error"),
    ("paper rustling", "trash-empty"),
)  # fmt: skip


def files_by_label(
    split: str, sources: tuple[SoundSource, ...] | None = None
) -> dict[str, list[Path]]:
    """Files of each label for a split ("test-unseen" or another); sorted, so deterministic.

    Where a label has three files or more, about a quarter is held out for "test-unseen"; a label
    with fewer is never in "test-unseen". Equal files count as one (a theme has the same sound under
    several names), so none is in two splits. `sources` None: the two packages that scenes have
    always been made of.
    """
    out: dict[str, list[Path]] = {}
    for label, files in _labelled(sources).items():
        ranked = sorted(files, key=lambda p: hashlib.sha256(p.stem.encode()).digest())
        held = max(1, len(files) // 4) if len(files) >= 3 else 0
        mine = ranked[:held] if split == "test-unseen" else ranked[held:]
        if mine:
            out[label] = sorted(mine)
    return out


def all_files(sources: tuple[SoundSource, ...] | None = None) -> list[Path]:
    """Every file that has a label, in order."""
    return sorted(p for files in _labelled(sources).values() for p in files)


def name_of(path: Path, sources: tuple[SoundSource, ...] | None = None) -> str:
    """How the truth names a file: its package or theme and its own name."""
    for source in () if sources is None else sources:
        for folder in source.folders:
            if source not in CLASSIC and path.is_relative_to(folder):
                return f"{source.name}/{path.relative_to(folder).as_posix()}"
    return f"{path.parent.parent.name}/{path.name}"


def digest(path: Path) -> str:
    """What tells equal files: the start of the SHA-256 of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _labelled(sources: tuple[SoundSource, ...] | None) -> dict[str, list[Path]]:
    """Label -> files of all splits."""
    chosen = CLASSIC if sources is None else sources
    found = _files(tuple(s for s in chosen if s in CLASSIC), frozenset({".flac", ".oga"}))
    out: dict[str, list[Path]] = {}
    for label, patterns in _CLASSIC_LABELS:
        out[label] = [p for p, _ in found if any(fnmatch(p.stem, g) for g in patterns.split())]
    for source in chosen:
        own = _files((source,), SUFFIXES) if source.labels else []
        for label, patterns in source.labels:
            globs = patterns.split()
            out.setdefault(label, []).extend(
                p for p, name in own if any(fnmatch(name, g) for g in globs)
            )
    return _distinct(out)


def _files(sources: tuple[SoundSource, ...], suffixes: frozenset[str]) -> list[tuple[Path, str]]:
    """Files with their path below the source's folder, without ending; sorted."""
    found = []
    for folder in (f for s in sources for f in s.folders if f.exists()):
        for path in folder.rglob("*") if sources[0] not in CLASSIC else folder.iterdir():
            # spoken descriptions of pictures lie among the sounds of one package
            if path.suffix in suffixes and "_desc" not in path.stem:
                found.append((path, path.relative_to(folder).with_suffix("").as_posix()))
    return sorted(found)


def _distinct(labels: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Leave out files that are byte for byte one that came before, of any label."""
    seen: set[str] = set()
    out: dict[str, list[Path]] = {}
    for label in sorted(labels):
        for path in sorted(labels[label]):
            mark = digest(path)
            if mark not in seen:
                seen.add(mark)
                out.setdefault(label, []).append(path)
    return out


def read(path: Path) -> np.ndarray:
    """A sound file as mono float32 [n] at 16 kHz.

    Not by the package's loader: it averages channels where this sums their power, and a folder of
    scenes that is made again has to come out the same.
    """
    import av

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        blocks = [
            out.to_ndarray().reshape(-1)
            for frame in container.decode(audio=0)
            for out in resampler.resample(frame)
        ]
    return to_16k(np.concatenate(blocks), rate)
