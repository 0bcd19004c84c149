"""Recorded sounds from Debian's sonic-pi-samples and sound-theme-freedesktop, by label."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from moss_audio.scenes.voices.base import to_16k

# CC0 (sonic-pi-samples; see its README) and GPL-2+/CC-BY-SA (sound-theme-freedesktop).
FOLDERS = (
    Path("/usr/share/sonic-pi/samples"),
    Path("/usr/share/sonic-pi-samples"),
    Path("/usr/share/sounds/freedesktop/stereo"),
)
_LABELS: tuple[tuple[str, str], ...] = (
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


def files_by_label(split: str) -> dict[str, list[Path]]:
    """Files of each label for a split ("test-unseen" or another); sorted, so deterministic.

    Where a label has three files or more, about a quarter is held out for "test-unseen"; a label
    with fewer is never in "test-unseen".
    """
    found = sorted(p for folder in FOLDERS if folder.exists() for p in folder.iterdir()
                   if p.suffix in {".flac", ".oga"})  # fmt: skip
    out: dict[str, list[Path]] = {}
    for label, patterns in _LABELS:
        files = [p for p in found if any(fnmatch(p.stem, g) for g in patterns.split())]
        ranked = sorted(files, key=lambda p: hashlib.sha256(p.stem.encode()).digest())
        held = max(1, len(files) // 4) if len(files) >= 3 else 0
        mine = ranked[:held] if split == "test-unseen" else ranked[held:]
        if mine:
            out[label] = sorted(mine)
    return out


def read(path: Path) -> np.ndarray:
    """A sound file as mono float32 [n] at 16 kHz."""
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
