"""The shards' last results -> what a user opens: segments, conversations, what was set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from moss_audio import settings
from moss_audio.annotate.plan import Shard
from moss_audio.annotate.records import Aside
from moss_audio.annotate.sft.talk import with_audio
from moss_audio.annotate.store import AnnotationStore, line_of
from moss_audio.annotate.work import Ingest, Steps
from moss_audio.errors import MossAudioError


@dataclass
class Summary:
    """What came of a run; `to_dict` is `summary.json`."""

    files: int = 0  # entries that the arguments stand for
    recordings: int = 0
    recordings_s: float = 0.0
    segments: int = 0
    segments_s: float = 0.0
    conversations: int = 0
    asides: dict[str, int] = field(default_factory=dict)  # reason -> how many

    @property
    def set_aside(self) -> int:
        """How many recordings and segments."""
        return sum(self.asides.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; seconds to the millisecond."""
        row = asdict(self) | {"asides": dict(sorted(self.asides.items()))}
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}


class Finish:
    """Makes the outputs of all shards that are part of this run."""

    def __init__(
        self,
        store: AnnotationStore,
        ingest: Ingest,
        steps: Steps,
        shards: Sequence[Shard],
        asides: Sequence[Aside],
    ) -> None:
        self.store, self.ingest, self.steps = store, ingest, steps
        self.shards = [shard for shard in shards if any(shard.active)]
        self.inputs = list(asides)

    def run(self) -> Summary:
        """Write what is not as it should be; tidy up behind steps that were done anew.

        Raises MossAudioError where sounds are gone that the result needs: they are made again by
        the next run.
        """
        store, mark = self.store, self.store.mark
        keys = {shard.number: self.steps.keys(shard.number) for shard in self.shards}
        known = settings.digest(
            [sorted(keys.items()), [asdict(a) for a in self.inputs], self._names()]
        )
        whole = (store.train, store.aside, store.summary)
        if mark.exists() and all(path.exists() for path in whole):
            kept = json.loads(mark.read_text(encoding="utf-8"))
            if kept["key"] == known and all(store.segments(n).exists() for n in keys):
                return Summary(**kept["summary"])
        mark.unlink(missing_ok=True)
        self._tidy(keys)
        count = Summary(len(self._names()))
        store.put_lines(store.train, self._publish(keys, count))
        store.put_lines(store.aside, (line_of(asdict(a)) for a in self._asides(keys, count)))
        self._withdraw(keys)
        row = count.to_dict()
        text = json.dumps(row, ensure_ascii=False, indent=2) + "\n"
        store.put(store.summary, text)
        store.put(mark, json.dumps({"key": known, "summary": row}) + "\n")
        return Summary(**row)

    def _names(self) -> list[str]:
        return [
            entry.name
            for shard in self.shards
            for entry, active in zip(shard.entries, shard.active, strict=True)
            if active
        ]

    def _publish(self, keys: dict[int, dict[str, str]], count: Summary) -> Iterator[str]:
        """Writes each shard of segments; gives the lines of the conversations."""
        last = self.steps.pipeline.last
        for number, of in keys.items():
            for row in self.store.rows(self.store.recordings(number)):
                count.recordings += 1
                count.recordings_s += row["recording"]["duration_s"]
            lines = []
            for row in self.store.rows(self.store.step(last, number, of[last])):
                if "aside" in row:
                    continue
                count.segments += 1
                duration_s = row["end_s"] - row["start_s"]
                count.segments_s += duration_s
                lines.append(line_of(row))
                for conversation in row["conversations"]:
                    count.conversations += 1
                    yield line_of(with_audio(conversation, row["audio"], duration_s))
            self.store.put_lines(self.store.segments(number), lines)

    def _asides(self, keys: dict[int, dict[str, str]], count: Summary) -> Iterator[Aside]:
        """Inputs, then shard by shard in the order of the steps."""
        found = (Aside(**row) for number in keys for row in self._set_aside(number, keys[number]))
        for aside in chain(self.inputs, found):
            count.asides[aside.reason] = count.asides.get(aside.reason, 0) + 1
            yield aside

    def _set_aside(self, number: int, keys: dict[str, str]) -> Iterator[dict[str, Any]]:
        yield from self.store.rows(self.store.sorted_out(number))
        for step, key in keys.items():
            rows = self.store.rows(self.store.step(step, number, key))
            yield from (row["aside"] for row in rows if "aside" in row)

    def _withdraw(self, keys: dict[int, dict[str, str]]) -> None:
        """Shards of an earlier run with other inputs are kept as work, not as result."""
        for path in (self.store.root / "segments").glob("*.jsonl"):
            if int(path.stem) not in keys:
                path.unlink()

    def _tidy(self, keys: dict[int, dict[str, str]]) -> None:
        """Remove what no result needs any more, and what a killed run left half written."""
        gone = 0
        for shard in self.shards:
            number = shard.number
            wanted = self._sounds(number, keys[number]["segment"])
            folder = self.store.audio(number)
            there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
            for name in there - wanted:
                (folder / name).unlink()
            if wanted - there:
                gone += len(wanted - there)
                self.store.step("segment", number, keys[number]["segment"]).unlink()
        if gone:
            raise MossAudioError(
                f"{self.store.root / 'audio'}: {gone} sound files are missing; run the same "
                "command again to recreate them"
            )
        for name in self.steps.pipeline.names:
            for folder in (self.store.work / name, self.store.work / "stats" / name):
                for path in folder.glob("*") if folder.is_dir() else ():
                    shard_number, _, key = path.stem.partition("-")
                    current = keys.get(int(shard_number)) if shard_number.isdigit() else {}
                    if current is not None and current.get(name) != key:
                        path.unlink()
        work = self.store.work
        for shard in self.shards:
            path = self.ingest.path(shard.number, shard.entries)
            for old in path.parent.glob(f"{shard.number:05d}-*"):
                if old != path:
                    old.unlink()
        places = (self.store.root, self.store.root / "segments", work, work / "recordings")
        for folder in (*places, work / "ingest", self.store.plan):
            for path in folder.glob(".*.tmp"):
                path.unlink()

    def _sounds(self, number: int, key: str) -> set[str]:
        rows = self.store.rows(self.store.step("segment", number, key))
        return {Path(row["audio"]).name for row in rows if "aside" not in row}
