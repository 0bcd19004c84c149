"""Pieces with a form: sections fill the piece, and equal letters are equal music."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.scenes.music import (
    FORMS,
    KEYS,
    LONGEST_FORM_S,
    SCALES,
    SHORTEST_FORM_S,
    Note,
    compose_form,
)


@given(seed=st.integers(0, 2**32 - 1), seconds=st.floats(SHORTEST_FORM_S, LONGEST_FORM_S))
def test_a_piece_is_what_is_said_of_it(seed: int, seconds: float) -> None:
    score = compose_form(np.random.default_rng(seed), seconds)
    assert score == compose_form(np.random.default_rng(seed), seconds)
    facts, sections, notes = score.facts, score.facts.sections, score.notes
    assert facts.form is not None
    assert facts.form.replace(" ", "") in FORMS
    assert [s.label for s in sections] == facts.form.split()
    assert sections[0].start == 0.0
    for one, two in pairwise(sections):
        assert one.end == two.start
    end = sections[-1].end
    assert score.seconds > end
    # whole phrases of four bars: half of one off in each section at the most, one at the least
    bar_s = int(facts.meter[0]) * 60 / facts.tempo_bpm
    assert (
        abs(end - seconds) <= len(sections) * 2 * bar_s + 1e-6
        or end <= len(sections) * 4 * bar_s + 1e-6
    )
    assert all(0 <= n.start < n.end <= end + 1e-6 for n in notes)
    tonic, mode = facts.key.rsplit(" ", 1)
    scale = {(KEYS.index(tonic) + degree) % 12 for degree in SCALES[mode]}
    assert {n.key % 12 for n in notes if n.channel != 9} <= scale
    assert any(n.channel == 9 for n in notes) == facts.drums == ("drums" in facts.instruments)
    for section in sections:
        assert section.instrument in facts.instruments

    def tune(index: int) -> list[tuple[float, int, int]]:
        part = sections[index]
        inside = [n for n in notes if _in(n, part.start, part.end) and n.channel != 9]
        return sorted((round(n.start - part.start, 4), n.channel, n.key) for n in inside)

    tunes = [tune(i) for i in range(len(sections))]
    for i, a in enumerate(sections):
        for j, b in enumerate(sections):
            assert (tunes[i] == tunes[j]) == (a.label == b.label)


def _in(note: Note, start: float, end: float) -> bool:
    return start - 1e-6 <= note.start < end - 1e-6
