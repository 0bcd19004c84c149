"""Write shards of scenes: several processes, resumable, readable while more are being made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.files import replaced
from moss_audio.scenes import pool, sources, text
from moss_audio.scenes.compose import Composer
from moss_audio.scenes.config import ScenesConfig, read_config
from moss_audio.scenes.reader import AUDIO, COMPLETED, TRUTH
from moss_audio.units import SAMPLE_RATE

Progress = Callable[[int, int], None]  # shards that are complete, shards in all


def shard_count(config: ScenesConfig) -> int:
    """Shards needed for all hours."""
    return max(1, round(sum(config.hours.values()) * 60 / config.shard_minutes))


def make(
    config_path: Path | str,
    out_dir: Path | str,
    *,
    workers: int = 2,
    progress: Progress = lambda done, total: None,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make every shard that is not complete yet; returns `out_dir`.

    `progress` is told how many shards are complete, `report` gets lines for the user. Ctrl-C leaves
    no unfinished shard, and the KeyboardInterrupt says how many are complete.

    Raises MossAudioError if the configuration is wrong, or if `out_dir` was made from another one
    or with other sources.
    """
    config_path, out = Path(config_path), Path(out_dir)
    config = read_config(config_path)
    if out.exists() and not out.is_dir():
        raise MossAudioError(f"{out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    pool.sweep(out)
    ready = {p.name for p in out.glob("shard-*") if (p / COMPLETED).exists()}
    _same_config(config_path, out / "config.yaml")
    sources.write(config, out, report)
    sentences = out / "sentences.tsv"
    if not sentences.exists():
        built = text.build(config.seed, n_templates=config.n_templates, with_test=config.with_test)
        with replaced(sentences) as part:
            text.save(built, part)
    total = shard_count(config)
    todo = [i for i in range(total) if f"shard-{i:05d}" not in ready]
    for index in todo:
        _clear(out / f"shard-{index:05d}")
    finished = total - len(todo)
    progress(finished, total)

    def done(count: int) -> None:
        nonlocal finished
        finished = total - len(todo) + count
        progress(finished, total)

    jobs = [(config_path, out, index, os.getpid()) for index in todo]
    try:
        pool.run_each(make_shard, jobs, workers=workers, done=done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted with {finished} of {total} shards complete; the same command resumes"
        ) from None
    finally:
        pool.sweep(out)
    return out


def make_shard(config_path: Path, out: Path, index: int, parent: int | None = None) -> Path:
    """Compose one shard and put it in place whole. The same config and index: the same bytes.

    `parent`: the process to work for; without it no work is done any more.
    """
    config = read_config(config_path)
    seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1)[0])
    sentences = text.load(out / "sentences.tsv")
    composer = Composer(config, sentences, seed, (index, shard_count(config)))
    name = f"shard-{index:05d}"
    part = out / f".{name}.tmp-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wanted = int(config.shard_minutes * 60 * SAMPLE_RATE)
    offset, number = 0, 0
    with (part / AUDIO).open("wb") as audio, (part / TRUTH).open("w", encoding="utf-8") as truth:
        while offset < wanted:
            if parent is not None and pool.orphaned(parent):
                raise MossAudioError(f"{out}: the process that started this one has ended")
            split, kind, scene = composer.draw()
            pcm = np.clip(np.rint(scene.samples * 32767.0), -32768, 32767).astype("<i2")
            audio.write(pcm.tobytes())
            line = {
                "id": f"{name}-{number:04d}",
                "kind": kind,
                "split": split,
                "offset_samples": offset,
                "num_samples": int(pcm.size),
                **scene.truth(),
                "seed": seed,
            }
            truth.write(json.dumps(line, ensure_ascii=False) + "\n")
            offset += pcm.size
            number += 1
    (part / COMPLETED).touch()
    return part.rename(out / name)


def _clear(shard: Path) -> None:
    """Remove a shard that has lost its mark. Raises MossAudioError for what is not a shard."""
    if not shard.exists():
        return
    if not shard.is_dir() or {p.name for p in shard.iterdir()} - {AUDIO, TRUTH}:
        raise MossAudioError(f"{shard}: not a shard of scenes; move it away or use another folder")
    shutil.rmtree(shard)


def _same_config(config_path: Path, kept: Path) -> None:
    """Keep a copy of the configuration beside the shards; never mix two."""
    raw = config_path.read_bytes()
    if kept.exists() and kept.read_bytes() != raw:
        raise MossAudioError(
            f"{kept.parent}: was made from another configuration; use another folder"
        )
    kept.write_bytes(raw)
