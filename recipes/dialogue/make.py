"""Writes the data set: blocks of lines, transcribed in parallel, then the files of them all."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate import flac
from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, load_whisper
from moss_audio.annotate.tools.speech.voice_weights import bundled_weights
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.files import write_atomic
from moss_audio.scenes import pool
from moss_audio.scenes.human import parts_of, prompt_sources, read_texts
from moss_audio.units import SAMPLE_RATE
from recipes.dialogue.games import GAMES, Line
from recipes.dialogue.join import SpokenLine, joined, one_speaker
from recipes.dialogue.label import labelled

_BLOCK = 120  # lines; at most so many are transcribed again when a run is killed
_HELD_OUT = 20  # one block of so many is for validation: other lines, mostly other scenes
_PROMPT = "Transcribe the audio."


def make(out: Path, games: Sequence[str], root: Path = Path("/"), workers: int = 2) -> str:
    """Write `out`/train.jsonl, lines joined to 8 to 15 s in `out`/joined.jsonl, a twentieth for
    validation in `out`/val.jsonl, and their audio; returns a line on what is in them.

    Blocks that an earlier run finished are kept. Sentences of the English test prompts are left
    out, where these are installed.

    Raises MossAudioError for an unknown game or broken files, MissingDebianPackageError without
    the package of a game.
    """
    from tqdm import tqdm

    unknown = [name for name in games if name not in GAMES]
    if unknown:
        raise MossAudioError(f"no game {unknown[0]!r}; there are {', '.join(GAMES)}")
    (out / "audio").mkdir(parents=True, exist_ok=True)
    jobs = []
    for name in games:
        count = len(GAMES[name].lines(root))
        jobs += [(name, start, root, out, os.getpid()) for start in range(0, count, _BLOCK)]
    todo = [job for job in jobs if not _block(out, job[0], job[1]).exists()]
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="block") as bar:

        def done(count: int) -> None:
            bar.n = len(jobs) - len(todo) + count
            bar.refresh()

        pool.run_each(make_block, todo, workers=workers, done=done)
    left_out = Counter[str]()
    lines: dict[str, list[str]] = {"train": [], "joined": [], "val": []}
    seconds = dict.fromkeys(lines, 0.0)
    for name, start, *_ in jobs:
        block = json.loads(_block(out, name, start).read_text(encoding="utf-8"))
        left_out.update(block["left_out"])
        held_out = (start // _BLOCK) % _HELD_OUT == _HELD_OUT // 2
        for kind, entries in (("train", block["kept"]), ("joined", block["joined"])):
            if held_out and kind == "joined":
                continue
            where = "val" if held_out else kind
            for entry in entries:
                seconds[where] += entry["duration"]
                lines[where].append(json.dumps(entry, ensure_ascii=False) + "\n")
    for where, own in lines.items():
        write_atomic(out / f"{where}.jsonl", "".join(own))
    why = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common()) or "none"
    parts = (f"{where}.jsonl: {len(own)} lines, {seconds[where] / 3600:.2f} h"
             for where, own in lines.items())  # fmt: skip
    return f"{out}: {'; '.join(parts)}; left out: {why}"


def make_block(game: str, start: int, root: Path, out: Path, parent: int | None = None) -> None:
    """Transcribe one block of a game's lines and put its file in place."""
    own = GAMES[game].lines(root)[start : start + _BLOCK]
    english = prompt_sources()["asterisk-en"]
    texts = read_texts(english).values() if english.installed else ()
    tested = {part for text in texts for part in parts_of(text)}

    def forget(text: str) -> bool:
        return bool(parts_of(text) & tested)

    left_out: Counter[str] = Counter()
    kept: list[SpokenLine] = []
    model = load_whisper(WhisperConfig())
    for name, samples, text, words, why in labelled(model, _sounds(own, left_out), forget):
        if parent is not None and pool.orphaned(parent):
            raise MossAudioError(f"{out}: the process that started this one has ended")
        if why is not None:
            left_out[why] += 1
            continue
        kept.append(SpokenLine(name, samples, text, tuple(words)))
    if silent := len(own) - len(kept) - sum(left_out.values()):
        left_out["too short, too long or silent"] = silent
    longer = joined(kept, one_speaker()) if bundled_weights() is not None else ()
    block = {
        "kept": [_entry(out, line) for line in kept],
        "joined": [_entry(out, line) for line in longer],
        "left_out": dict(left_out),
    }
    target = _block(out, game, start)
    target.parent.mkdir(exist_ok=True)
    write_atomic(target, json.dumps(block, ensure_ascii=False))


def _entry(out: Path, line: SpokenLine) -> dict[str, Any]:
    """A line's conversation; its sound is written."""
    path = out / "audio" / f"{line.name}.flac"
    write_atomic(path, flac.encode(line.samples))
    question = [{"type": "audio", "audio": f"audio/{path.name}"},
                {"type": "text", "text": _PROMPT}]  # fmt: skip
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": line.text},
        ],
        "words": [w.to_dict() for w in line.words],
        "duration": round(len(line.samples) / SAMPLE_RATE, 3),
    }


def _sounds(lines: Sequence[Line], left_out: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
    for line in lines:
        try:
            yield line.name, line.load()
        except (AudioError, MossAudioError):
            left_out["unreadable"] += 1


def _block(out: Path, game: str, start: int) -> Path:
    return out / "blocks" / f"{game}-{start:05d}.json"
