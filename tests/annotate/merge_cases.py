# ruff: noqa: SIM905  (word lists read best as running text)
"""Segments with the evidence of composed scenes, and with random evidence of every odd kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.scenes.reader import Scene
from moss_audio.scenes.sounds.noises import NOISES
from moss_audio.scenes.sounds.tones import TONES

_WORDS = (
    "yes no maybe the train leaves platform nine tomorrow morning please call back later we never "
    "saw it again open window quickly because rain was cold happy sad piano dog barked music voice"
).split()
_ODD_SENTENCES = (
    'He said "stop" and left.', "Call 911 at 5.30, not 6.45!", "It's 7 to 12 seconds, then 3.",
    "“Who's there?” she asked.", "你好,今天天气很好。", "Guten Morgen, wie geht's?",
    "Ça va très bien.", "Then, after that, nothing.", "3", "No.", "Привет, как дела?",
    "dog barking from 1.0 to 2.0",
    "<b>bold</b> & [brackets] {braces}", "It costs $4.50 — really…", "こんにちは。元気ですか。",
)  # fmt: skip
_ODD_LABELS = (
    "3 beeps", "dog (barking)", "car, passing by", "狗叫", "sound of a bell", "MACHINE-GUN fire",
    "the neighbour's door", "a man's cough", "R2-D2 beep", '"quoted" knock', "water\ndripping",
    "footsteps on gravel", "hum at 50 Hz", "glass breaking.",
)  # fmt: skip
_FIELDS = {
    "gender": ("female", "male"), "age": ("adult", "elderly", "around 30 years", "child"),
    "accent": ("British", "neutral American"), "pitch": ("low", "high", "medium, rather even"),
    "volume": ("loud", "quiet", "moderate"), "speed": ("fast", "slow", "normal"),
    "texture": ("hoarse", "smooth and warm"), "clarity": ("clear", "muffled by noise", "high"),
    "fluency": ("fluent", "hesitant with 3 long pauses", "medium"), "emotion": ("calm", "angry"),
    "tone": ("matter-of-fact", "questioning"), "personality": ("confident",),
    "summary": ("A calm speaker reads a text.",),
}  # fmt: skip


def recording(duration: float) -> Recording:
    return Recording("r", "r.wav", duration, 16000, 1)


def result(kind: str, branch: str = "general", **more: object) -> ToolResult:
    return ToolResult("tool", "1", branch, kind, **more)  # type: ignore[arg-type]


def segment(
    name: str, duration: float, results: Sequence[ToolResult], **more: object
) -> AudioSegment:
    return AudioSegment(name, recording(duration), 0.0, duration, results=tuple(results), **more)  # type: ignore[arg-type]


def agreed(text: str, decision: str = "keep") -> ToolResult:
    values = {"decision": decision, "chosen": "tool"}
    return result("agreement", "speech", text=text, score=0.02, values=values)


def from_scene(scene: Scene) -> AudioSegment:
    """What perfect tools would find in a scene."""
    results = []
    if scene.sentences:
        results += [
            result("transcript", "speech", text=scene.text, values={"language": scene.language}),
            agreed(scene.text),
            result("words", "speech", spans=tuple(
                Span(w.text, w.start, w.end) for w in scene.words)),
            result(
                "sentences", "speech",
                spans=tuple(Span(s.text, s.start, s.end) for s in scene.sentences),
            ),
            result("speakers", "speech", values={"count": 1}, spans=tuple(
                Span("speaker 1", s.start, s.end) for s in scene.sentences)),
        ]  # fmt: skip
    events = [Span(e.label, e.start, e.end, 0.9) for e in scene.events]
    results.append(result("events", spans=tuple(events)))
    if scene.music:
        tonic, mode = str(scene.music["key"]).rsplit(" ", 1)
        values = {"tonic": tonic.replace(" sharp", "#").replace(" flat", "b"), "mode": mode}
        results += [
            result("tempo", "music", values={"bpm": float(scene.music["tempo_bpm"])}, score=0.9),
            result("key", "music", values=values, score=0.8),
            result("instruments", "music", spans=tuple(
                Span(str(scene.music["instrument"]), e.start, e.end) for e in scene.events)),
        ]  # fmt: skip
    profile = {"speech": float(bool(scene.sentences)), "music": float(bool(scene.music))}
    profile |= {"sounds of things": float(bool(scene.events and not scene.music))}
    return segment(scene.id, scene.duration_s, results, profile=profile)


def from_chance(seed: int) -> AudioSegment:
    """Random evidence: speakers who overlap, music, nothing, odd names, quotations, numbers."""
    rng = random.Random(seed)
    duration = rng.choice((0.6, 4.0, 9.7, 28.35, 61.2, 240.0))
    results: list[ToolResult] = []
    if rng.random() < 0.65:
        results += _speech(rng, duration)
    if rng.random() < 0.3:
        results += _music(rng, duration)
    if rng.random() < 0.75:
        results.append(_events(rng, duration))
    if rng.random() < 0.3:
        spans = (_span(rng, rng.choice(("speech", "music", "singing")), duration),)
        results.append(result("activity", "segment", spans=spans))
    profile = {name: rng.random() for name in ("speech", "music", "singing", "animal")}
    return segment(f"chance-{seed}", duration, results, profile=profile)


def _span(rng: random.Random, label: str, duration: float, score: float | None = None) -> Span:
    start = rng.uniform(0, duration * 0.98)
    length = min(duration - start, rng.choice((0.03, 0.4, 2.0, duration)))
    return Span(label, start, start + length, score)


def _sentence(rng: random.Random) -> str:
    if rng.random() < 0.35:
        return rng.choice(_ODD_SENTENCES)
    words = " ".join(rng.choices(_WORDS, k=rng.randint(1, 12)))
    return words.capitalize() + rng.choice((".", "?", "!", ""))


def _speech(rng: random.Random, duration: float) -> list[ToolResult]:
    decision = rng.choice(("keep", "keep", "keep", "flag", "drop"))
    voices = rng.randint(1, 4)
    spans, turns = [], []
    for _ in range(rng.randint(1, 8)):
        span = _span(rng, _sentence(rng), duration)
        spans.append(span)
        turns.append(Span(f"speaker {rng.randint(1, voices)}", span.start_s, span.end_s))
    spans.sort(key=lambda s: s.start_s)
    out = [agreed("" if decision == "drop" else " ".join(s.label for s in spans), decision)]
    if decision != "drop" and rng.random() < 0.9:
        out.append(result("sentences", "speech", spans=tuple(spans)))
    if rng.random() < 0.8:
        count = len({turn.label for turn in turns})
        out.append(result("speakers", "speech", spans=tuple(turns), values={"count": count}))
    known = {name: rng.choice(v) for name, v in _FIELDS.items() if rng.random() < 0.4}
    measured = {"words_per_minute": rng.uniform(60, 260), "pitch_hz": rng.uniform(80, 280)}
    out.append(result("speech_fields", "speech", values={**known, "measured": measured}))
    return out


def _music(rng: random.Random, duration: float) -> list[ToolResult]:
    out = []
    if rng.random() < 0.8:
        out.append(
            result("tempo", "music", values={"bpm": rng.uniform(45, 210)}, score=rng.random())
        )
    if rng.random() < 0.8:
        key = {
            "tonic": rng.choice(("C", "F#", "Bb", "E", "G#")),
            "mode": rng.choice(("major", "minor")),
        }
        out.append(result("key", "music", values=key, score=rng.random()))
    if rng.random() < 0.6:
        count = rng.randint(1, 6)
        edges = [duration * i / count for i in range(count + 1)]
        spans = [Span(rng.choice("ABC"), a, b) for a, b in pairwise(edges)]
        out.append(result("sections", "music", spans=tuple(spans)))
        levels = [Span(rng.choice(("quiet", "medium", "loud")), s.start_s, s.end_s) for s in spans]
        out.append(result("dynamics", "music", spans=tuple(levels)))
    if rng.random() < 0.5:
        names = rng.sample(("C", "A minor", "F", "G", "E minor", "D"), rng.randint(1, 4))
        out.append(result("chords", "music", spans=tuple(_span(rng, n, duration) for n in names)))
    if rng.random() < 0.6:
        names = rng.sample(("piano", "drums", "violin", "electric guitar", "flute"), 2)
        played = tuple(_span(rng, n, duration, rng.random()) for n in names)
        out.append(result("instruments", "music", spans=played))
    if rng.random() < 0.3:
        out.append(result("lyrics", "music", spans=(_span(rng, _sentence(rng), duration),)))
    return out


def _events(rng: random.Random, duration: float) -> ToolResult:
    labels = rng.choices(
        sorted((*TONES, *NOISES)) if rng.random() < 0.7 else _ODD_LABELS, k=rng.randint(1, 6)
    )
    if rng.random() < 0.4:
        labels += [labels[0]] * rng.randint(1, 9)
    spans = tuple(
        _span(rng, label, duration, rng.choice((None, 0.9, 0.6, 0.4, 0.1))) for label in labels
    )
    return result("events", spans=spans)
