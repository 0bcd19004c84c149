"""Write shards of scenes: several processes, resumable, readable while more are being made."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.scenes import text
from moss_audio.scenes.compose import Composer
from moss_audio.scenes.config import ScenesConfig, read_config
from moss_audio.scenes.reader import AUDIO, COMPLETED, SAMPLE_RATE, TRUTH


def shard_count(config: ScenesConfig) -> int:
    """Shards needed for all hours."""
    return max(1, round(sum(config.hours.values()) * 60 / config.shard_minutes))


def make(
    config_path: Path | str, out_dir: Path | str, *, workers: int = 2, resume: bool = True
) -> Path:
    """Make every shard that is not complete yet; returns `out_dir`.

    Raises MossAudioError if the configuration is wrong, if `out_dir` was made from another one,
    or if `resume` is False and shards are there already.
    """
    config_path, out = Path(config_path), Path(out_dir)
    config = read_config(config_path)
    out.mkdir(parents=True, exist_ok=True)
    done = {p.name for p in out.glob("shard-*") if (p / COMPLETED).exists()}
    if done and not resume:
        raise MossAudioError(f"{out}: has {len(done)} shards already; allow resuming, or empty it")
    _same_config(config_path, out / "config.yaml")
    sentences = out / "sentences.tsv"
    if not sentences.exists():
        part = sentences.with_suffix(".tmp")
        text.save(text.build(config.seed, n_templates=config.n_templates), part)
        part.replace(sentences)
    total = shard_count(config)
    todo = [i for i in range(total) if f"shard-{i:05d}" not in done]
    _run(config_path, out, todo, total, workers)
    return out


def _run(config_path: Path, out: Path, todo: list[int], total: int, workers: int) -> None:
    from tqdm import tqdm

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tqdm(total=total, initial=total - len(todo), unit="shard", mininterval=5) as bar:
        # A new process for each shard, spawned: the speech libraries keep state from sentence to
        # sentence that neither survives a fork nor can be reset, and shards must be repeatable.
        context = get_context("spawn")
        with ProcessPoolExecutor(
            max(1, workers), mp_context=context, max_tasks_per_child=1
        ) as pool:
            jobs = [pool.submit(make_shard, config_path, out, index) for index in todo]
            for job in as_completed(jobs):
                job.result()
                bar.update()


def make_shard(config_path: Path, out: Path, index: int) -> Path:
    """Compose one shard and put it in place whole. The same config and index: the same bytes."""
    config = read_config(config_path)
    seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1)[0])
    composer = Composer(config, text.load(out / "sentences.tsv"), seed)
    name = f"shard-{index:05d}"
    part = out / f".{name}.tmp-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wanted = int(config.shard_minutes * 60 * SAMPLE_RATE)
    offset, number = 0, 0
    with (part / AUDIO).open("wb") as audio, (part / TRUTH).open("w", encoding="utf-8") as truth:
        while offset < wanted:
            split, kind, draft = composer.draw()
            pcm = np.clip(np.rint(draft.samples * 32767.0), -32768, 32767).astype("<i2")
            audio.write(pcm.tobytes())
            line = {
                "id": f"{name}-{number:04d}",
                "kind": kind,
                "split": split,
                "offset_samples": offset,
                "num_samples": int(pcm.size),
                **draft.truth(),
                "seed": seed,
            }
            truth.write(json.dumps(line, ensure_ascii=False) + "\n")
            offset += pcm.size
            number += 1
    (part / COMPLETED).touch()
    final = out / name
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    return final


def _same_config(config_path: Path, kept: Path) -> None:
    """Keep a copy of the configuration beside the shards; never mix two."""
    raw = config_path.read_bytes()
    if kept.exists() and kept.read_bytes() != raw:
        raise MossAudioError(
            f"{kept.parent}: was made from another configuration; use another folder"
        )
    kept.write_bytes(raw)
