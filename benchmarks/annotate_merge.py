"""Captions, their judge and the check of a language model's drafts, on evidence of known truth.

    PYTHONPATH=.:src python benchmarks/annotate_merge.py data/scenes

Half of the 500 segments carry the truth of composed scenes (test-unseen, then train), half random
evidence. Seeds differ from those of the tests.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

from moss_audio.annotate.merge import MergeStage
from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.tasks import TaskStage
from moss_audio.scenes.reader import iter_scenes
from tests.annotate.merge_cases import from_chance, from_scene
from tests.annotate.merge_drafts import CORRECT_DRAFTS, WRONG, faults
from tests.annotate.merge_errors import PLANTS, planted
from tests.annotate.merge_reader import read

_SEGMENTS, _PLANTED = 500, 60


def segments(scenes: Path, seed: int) -> list[AudioSegment]:
    """Scenes of more than bare speech first: they have more to say."""
    half = _SEGMENTS // 2
    unseen = (s for s in iter_scenes(scenes, "test-unseen") if s.kind != "speech")
    plain = (s for s in iter_scenes(scenes, "test-unseen") if s.kind == "speech")
    train = (s for s in iter_scenes(scenes, "train") if s.kind != "speech")
    drawn = [*islice(unseen, half), *islice(plain, 60), *islice(train, half)][:half]
    chance = range(seed, seed + _SEGMENTS - len(drawn))
    return [*(from_scene(s) for s in drawn), *(from_chance(n) for n in chance)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path, help="folder of composed scenes")
    parser.add_argument("--seed", type=int, default=700_000)
    arguments = parser.parse_args()
    stage = MergeStage()
    chosen = segments(arguments.scenes, arguments.seed)
    began = time.process_time()
    captions = [stage.caption(one) for one in chosen]
    spent_s = time.process_time() - began
    named = missed = unsupported = 0
    for one, caption in zip(chosen, captions, strict=True):
        finding = read(caption.text, one)
        named, missed = named + finding.named, missed + len(finding.missed)
        unsupported += len(finding.unsupported)
    hours = sum(one.duration_s for one in chosen) / 3600
    print(f"segments                          {len(chosen)} ({hours:.2f} h)")
    print(f"facts named                       {named} of {named + missed}")
    print(f"unsupported statements            {unsupported}")
    print(f"captions a CPU second             {len(chosen) / spent_s:.0f}")
    pairs = [(c.text, one) for c, one in zip(captions, chosen, strict=True)]
    for kind in PLANTS:
        wrong = planted(kind, pairs, _PLANTED, seed=arguments.seed)
        caught = sum(bool(read(text, one).unsupported) for text, one in wrong)
        print(f"{f'planted: {kind}':<34}{caught} of {_PLANTED} caught")
    accepted = sum(not faults(one, *told) for one, told in CORRECT_DRAFTS)
    refused = sum(bool(faults(one, *told)) for one, told, _ in WRONG)
    print(f"{'correct drafts by hand':<34}{accepted} of {len(CORRECT_DRAFTS)} accepted")
    print(f"{'wrong drafts by hand':<34}{refused} of {len(WRONG)} refused")
    tasks = TaskStage()
    began = time.process_time()
    counts: Counter[str] = Counter()
    for one, caption in zip(chosen, captions, strict=True):
        counts.update(talk.task for talk in tasks.talks(replace(one, caption=caption)))
    print(f"segments a CPU second, tasks      {len(chosen) / (time.process_time() - began):.0f}")
    print("conversations                     " + ", ".join(f"{k} {n}" for k, n in counts.items()))


if __name__ == "__main__":
    main()
