# ruff: noqa: SIM905  (word lists read best as running text)
"""A second reader of captions, for tests alone: it re-derives every statement from the text with
rules of its own and compares it with the tools' raw results.

It shares nothing with the package's grounding check or writer: no template, no vocabulary, no
evidence record. It is stricter than the check: any word outside its plain vocabulary that is
neither quoted nor printed in the results counts as unsupported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from moss_audio.annotate.records import AudioSegment, Span

# The only words a caption may use besides those of the results. Written by hand; no sound,
# quality, mood or place is among them. Musical and vocal terms are checked by rules further down.
_PLAIN = set(
    """a an the this these that of in on at to and or with from between for it its is are was be
    recording audio seconds holds hold mainly besides less prominently make made up above all can
    heard there then after next meanwhile while goes on off also nearly almost throughout along
    voice voices speech someone speaks says saying what sounds like sings singing music piece
    plays played key tempo about bpm instrument instruments form section chords loudness part
    speaker speakers
    found nothing distinct no particular sound which words minute hz times time twice once
    as comes across pace pitch volume delivery clarity fluency texture accent age gender emotion
    tone personality
    one two three four five six seven eight nine""".split()
)
_LANGUAGES = {"de": "german", "zh": "chinese", "fr": "french", "ja": "japanese", "ru": "russian"}
_SPELLED = {w: i for i, w in enumerate("zero one two three four five six seven eight nine".split())}
_TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Finding:
    unsupported: tuple[str, ...]
    named: int
    missed: tuple[str, ...]


def tokens(text: str) -> list[str]:
    """Letters and digits in runs; ideographs one by one."""
    return re.findall(
        r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u4e00-\u9fff]+", text.casefold()
    )


def tidy(label: str) -> str:
    return re.sub(r"\s+", " ", re.sub('["“”„«»]', "", re.sub(r"\s", " ", label))).strip(" .,;:!?-")


class Reader:
    """One caption beside one segment's raw results."""

    def __init__(self, text: str, segment: AudioSegment) -> None:
        self.text, self.segment = text, segment
        self.wrong: list[str] = []
        self.length = segment.end_s - segment.start_s
        self.events = [
            s for r in segment.results if r.kind == "events" for s in r.spans
            if (s.score is None or s.score >= 0.5) and tokens(s.label)
        ]  # fmt: skip
        decision = next((str(r.values["decision"]) for r in segment.results
                         if r.kind == "agreement"), "drop")  # fmt: skip
        heard = decision in ("keep", "flag")
        self.said = [s for s in self._spans("sentences") if heard and tokens(s.label)]
        self.raw = next((r.text for r in segment.results if r.kind == "agreement"), "")
        self.raw = self.raw if heard and not self._spans("sentences") else ""
        self.sung = [s for s in self._spans("lyrics") if tokens(s.label)]
        self.turns = self._spans("speakers")

    def _spans(self, kind: str) -> list[Span]:
        spans = [s for r in self.segment.results if r.kind == kind for s in r.spans]
        if kind not in ("sections", "dynamics"):
            return spans
        plays = self._sure_extent("music") or self._sure_extent("singing")
        if not plays:
            return spans
        first, end = min(a for a, _ in plays), max(b for _, b in plays)
        cut = [replace(s, start_s=max(first, s.start_s), end_s=min(end, s.end_s)) for s in spans]
        pairs = zip(spans, cut, strict=True)
        return [c for s, c in pairs if c == s or c.end_s - c.start_s >= 1.0]

    def _sure_extent(self, word: str) -> list[tuple[float, float]]:
        return [
            (s.start_s, s.end_s)
            for r in self.segment.results if r.kind in ("activity", "events")
            for s in r.spans
            if s.label.lower() == word and (s.score is None or s.score >= 0.5)
        ]  # fmt: skip

    def _value(self, kind: str, name: str) -> object:
        found = [r for r in self.segment.results if r.kind == kind
                 and (r.score is None or r.score >= 0.5)]  # fmt: skip
        return found[0].values.get(name) if found else None

    def _extent(self, *words: str) -> list[tuple[float, float]]:
        """Spans of detectors and events by their class name."""
        out = []
        for r in self.segment.results:
            if r.kind in ("activity", "events"):
                out += [(s.start_s, s.end_s) for s in r.spans if s.label.lower() in words]
        return out

    # ------------------------------------------------------------------------------ reading

    def read(self) -> Finding:
        quotes = re.findall(r"“([^”]*)”", self.text)
        body = self.text
        sources: list[list[list[Span]]] = []
        for number, quote in enumerate(quotes):
            sources.append(self._source(quote))
            body = body.replace(
                f"“{quote}”", f"⟦q{number}⟧" + (". " if quote[-1:] in ".!?。" else " "), 1
            )
        labels = sorted({tidy(e.label) for e in self.events}, key=len, reverse=True)
        for number, label in enumerate(labels):
            body = re.sub(rf"(?<!\w){re.escape(label)}(?!\w)", f"⟦e{number}⟧", body, flags=re.I)
        values = [str(v) for r in self.segment.results if r.kind == "speech_fields"
                  for k, v in r.values.items() if k != "measured"]  # fmt: skip
        for number, value in enumerate(sorted(values, key=len, reverse=True)):
            body = "".join(
                part if part.startswith("In loudness") else
                re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"⟦f{number}⟧", part, flags=re.I)
                for part in re.split(r"(?<=\. )", body)
            )  # fmt: skip
        for turn in self.turns:
            body = re.sub(rf"(?<!\w){re.escape(turn.label)}(?!\w)",
                          "⟦w" + turn.label.split()[-1] + "⟧", body, flags=re.I)  # fmt: skip
        self.body, self.labels, self.sources = body, labels, sources
        previous: tuple[float, float] | None = None
        for statement in re.split(r"(?<=[.!?])\s+|\n+", body):
            previous = self._statement(statement, previous)
        self._music_claims(body)
        self._vocabulary(body)
        named, missed = self._recall(body, quotes)
        return Finding(tuple(self.wrong), named, tuple(missed))

    def _source(self, quote: str) -> list[list[Span]]:
        """The sentences a quotation may be made of, whole and in order."""
        wanted = tokens(quote)
        found: list[list[Span]] = []
        pools: list[list[Span]] = [sorted(self.said, key=lambda s: (s.start_s, s.end_s)), self.sung]
        for turn in sorted({t.label for t in self.turns}):
            mine = [s for s in pools[0] if any(t.label == turn and t.start_s < s.end_s
                    and s.start_s < t.end_s for t in self.turns)]  # fmt: skip
            pools.append(mine)
        # Sentences that overlap may be told apart by their speakers, in any selection of these.
        for pool in pools:
            for first in range(len(pool)):
                line: list[str] = []
                used: list[Span] = []
                for span in pool[first:]:
                    if line + tokens(span.label) == wanted[: len(line) + len(tokens(span.label))]:
                        line += tokens(span.label)
                        used.append(span)
                    if line == wanted:
                        found.append(list(used))
        if self.raw and " ".join(wanted) in " ".join(tokens(self.raw)):
            found.append([])
        if not found:
            self.wrong.append(f"not said: {quote!r}")
        return found

    def _statement(
        self, text: str, previous: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        pairs = [
            (float(a), float(b), m.start())
            for m in re.finditer(r"(?i:from|between) (\d+\.\d) (?:to|and) (\d+\.\d)", text)
            for a, b in [m.groups()]
        ]
        rest = re.sub(r"(?i:from|between) \d+\.\d (?:to|and) \d+\.\d", " ", text)
        points = [
            (float(m[1]), float(m[1]), text.find(m[0]))
            for m in re.finditer(r"\b[Aa]t (\d+\.\d)", rest)
        ]
        times = sorted(pairs + points, key=lambda item: item[2])
        known = self._entities(text)
        for start, end, at in times:
            if not any(self._true(start, end, spans) for spans in self._near(text, at, known)):
                self.wrong.append(f"{start} to {end} fits nothing in {text!r}")
        if len(re.findall(r"⟦[eq]\d+⟧", text)) and not times and "⟦q" not in text:
            self.wrong.append(f"a sound without its time: {text!r}")
        self._who(text)
        self._count(text)
        self._numbers(rest, text)
        if not times:
            return None if text.strip() else previous
        start, end = min(t[0] for t in times), max(t[1] for t in times)
        lead = re.match(r"(Then|After that|Next|Meanwhile|While this goes on)\b", text)
        if lead and previous is None:
            self.wrong.append(f"{lead[1]} after nothing: {text!r}")
        elif lead and previous is not None:
            apart = times[0][0] >= previous[0] if lead[1] in ("Then", "After that", "Next") else (
                start <= previous[1] and end >= previous[0])  # fmt: skip
            if not apart:
                self.wrong.append(f"order: {previous} and {text!r}")
            if lead[1] in ("Then", "After that", "Next") and times[0][0] < previous[1] - 0.11:
                self.wrong.append(f"not after {previous}: {text!r}")
        return (times[0][0], end)

    def _entities(self, text: str) -> dict[str, list[tuple[float, float]]]:
        known: dict[str, list[tuple[float, float]]] = {}
        for number, label in enumerate(self.labels):
            if f"⟦e{number}⟧" in text:
                known[f"⟦e{number}⟧"] = [(e.start_s, e.end_s) for e in self.events
                                         if tidy(e.label).lower() == label.lower()]  # fmt: skip
        for number, used in enumerate(self.sources):
            if f"⟦q{number}⟧" in text:
                known[f"⟦q{number}⟧"] = [(one[0].start_s, one[-1].end_s) for one in used if one]
        if not known and re.search(r"speaks|[Ss]peech is heard", text):
            speech = self._extent("speech") or [(t.start_s, t.end_s) for t in self.turns]
            known["speech"] = speech
        if not known and re.search(r"sings|[Ss]inging is heard", text):
            known["singing"] = self._extent("singing")
        if not known and re.search(r"\bplays\b", text):
            known["music"] = self._extent("music")
        for m in re.finditer(r"section ([A-Z]) |\b(quiet|medium|loud) (?=from|at)", text):
            kind, name = ("sections", m[1]) if m[1] else ("dynamics", m[2])
            known[m[0].strip()] = self._runs(kind, name)
        return known

    def _runs(self, kind: str, name: str) -> list[tuple[float, float]]:
        """Spans of a name; from one to the end of another with no other name in between."""
        spans = self._spans(kind)
        return [
            (spans[i].start_s, spans[j].end_s)
            for i in range(len(spans)) for j in range(i, len(spans))
            if all(s.label == name for s in spans[i : j + 1])
        ]  # fmt: skip

    def _near(
        self, text: str, at: int, known: dict[str, list[tuple[float, float]]]
    ) -> list[list[tuple[float, float]]]:
        """What a time belongs to: the part named right before it, or else the only thing."""
        parts = {k: v for k, v in known.items() if re.match(r"section|quiet|medium|loud", k)}
        if parts:
            last = max(parts, key=lambda name: text.rfind(name, 0, at))
            return [parts[last]]
        return list(known.values()) if len(known) == 1 else []

    @staticmethod
    def _true(start: float, end: float, spans: list[tuple[float, float]]) -> bool:
        """Whether both ends are ends of what sounds, rounded to the tenth that is printed."""
        return any(abs(start - a) <= 0.0501 for a, _ in spans) and any(
            abs(start - a) <= 0.0501 and abs(end - b) <= 0.0501 + 0.05 * (start == end)
            for a, _ in spans
            for _, b in spans
        )

    def _who(self, text: str) -> None:
        for m in re.finditer(r"⟦w(\w+)⟧[^⟦]*⟦q(\d+)⟧", text):
            name = f"speaker {m[1]}"
            if not any(
                all(any(t.label == name and t.start_s < span.end_s + 1e-6
                        and span.start_s < t.end_s + 1e-6 for t in self.turns) for span in used)
                for used in self.sources[int(m[2])]
            ):  # fmt: skip
                self.wrong.append(f"{name} does not say that: {text!r}")

    def _count(self, text: str) -> None:
        for m in re.finditer(r"\b(?:twice|(\d+|[a-z]+) times)\b", text):
            written = m[1] or "two"
            number = int(written) if written.isdigit() else _SPELLED.get(written, -1)
            events = re.findall(r"⟦e\d+⟧", text)
            true = [len(self._distinct(self.labels[int(e[2:-1])])) for e in events]
            if true != [number]:
                self.wrong.append(f"{number} times is wrong: {text!r}")

    def _distinct(self, label: str) -> list[tuple[float, float]]:
        """Events of a name."""
        return [(e.start_s, e.end_s) for e in self.events if tidy(e.label).lower() == label.lower()]

    def _numbers(self, rest: str, text: str) -> None:
        plain = re.sub(r"⟦\w+⟧", " ", rest)
        plain = re.sub(r"\b[Aa]t \d+\.\d", " ", plain)
        for m in re.finditer(r"\d+(?:\.\d+)?", plain):
            behind = plain[m.end() :].lstrip()
            value = float(m[0])
            measured = [v for r in self.segment.results if r.kind == "speech_fields"
                        for v in r.values.get("measured", {}).items()]  # fmt: skip
            if behind.startswith("bpm"):
                right = abs(value - float(str(self._value("tempo", "bpm") or -9))) <= 0.51
            elif behind.startswith("words a minute"):
                right = any("words" in k and abs(v - value) <= 0.51 for k, v in measured)
            elif behind.startswith("Hz"):
                right = any("hz" in k and abs(v - value) <= 0.51 for k, v in measured)
            elif behind.startswith("times"):
                right = True  # counted above
            else:
                right = behind.startswith("seconds") and abs(value - self.length) <= 0.0501
            if not right:
                self.wrong.append(f"number {m[0]} in {text!r}")
        for m in re.finditer(r"\b(two|three|four|five|six|\d+) speakers\b", plain):
            count = _SPELLED.get(m[1]) or int(m[1])
            if count != len({t.label for t in self.turns}):
                self.wrong.append(f"{count} speakers")

    def _music_claims(self, body: str) -> None:
        bpm = self._value("tempo", "bpm")
        for m in re.finditer(r"\b(slow|moderate|fast) tempo", body):
            bounds = {"slow": (0, 90), "moderate": (80, 135), "fast": (125, 400)}[m[1]]
            if not (isinstance(bpm, float) and bounds[0] <= bpm <= bounds[1]):
                self.wrong.append(f"{m[0]} at {bpm} bpm")
        for m in re.finditer(r"key of ([A-G])( sharp| flat)? (major|minor)", body):
            stated = (_TONICS[m[1]] + {" sharp": 1, " flat": -1}.get(m[2] or "", 0)) % 12
            tonic = str(self._value("key", "tonic") or "?")
            true = (_TONICS.get(tonic[0], 99) + tonic.count("#") - tonic[1:].count("b")) % 12
            if (stated, m[3]) != (true, self._value("key", "mode")):
                self.wrong.append(f"{m[0]}: it is {tonic}")
        for m in re.finditer(r"chords are ([^.]*)\.", body):
            if {*re.split(", | and ", m[1])} != {s.label for s in self._spans("chords")}:
                self.wrong.append(m[0])
        for m in re.finditer(r"form is ([A-Z](?: [A-Z])*)", body):
            if m[1].split() != [s.label for s in self._spans("sections")]:
                self.wrong.append(m[0])

    def _vocabulary(self, body: str) -> None:
        allowed = set(_PLAIN)
        for r in self.segment.results:
            if r.kind in ("instruments", "chords", "dynamics", "sections", "key"):
                allowed.update(w for s in r.spans for w in tokens(s.label))
            if r.kind == "key":
                allowed.update(("major", "minor", "sharp", "flat", *"abcdefg"))
            if r.kind == "tempo":
                allowed.update(("slow", "moderate", "fast"))
            if r.kind == "transcript" and (name := _LANGUAGES.get(str(r.values.get("language")))):
                allowed.add(name)
            if r.kind == "anchor":
                allowed.update(tokens(r.text))
        plain = re.sub(r"⟦\w+⟧", " ", body)
        for word in re.findall(r"[^\W\d_]+", plain):
            if word.lower() not in allowed:
                self.wrong.append(f"the word {word!r}")

    # ------------------------------------------------------------------------------- recall

    def _recall(self, body: str, quotes: list[str]) -> tuple[int, list[str]]:
        named, missed = 0, []

        def fact(right: bool, what: str) -> None:
            nonlocal named
            named += right
            if not right:
                missed.append(what)

        statements = re.split(r"(?<=[.!?])\s+|\n+", body)
        for e in self.events:
            if e.label.lower() in ("speech", "music", "singing"):
                continue
            lowered = [name.lower() for name in self.labels]
            mark = f"⟦e{lowered.index(tidy(e.label).lower())}⟧"
            mine = [s for s in statements if mark in s]
            exact = any(f"{e.start_s:.1f}" in s for s in mine)
            counted = any(re.search(r"\d+ times", s) for s in mine)
            near = any(
                abs(float(x) - e.start_s) < 1.0 for s in mine for x in re.findall(r"\d+\.\d", s)
            )
            fact(exact or counted or near, f"event {e.label!r} at {e.start_s:.2f}")
        for s in self.said + self.sung:
            wanted = " ".join(tokens(s.label))
            fact(
                any(f" {wanted} " in f" {' '.join(tokens(q))} " for q in quotes),
                f"words {s.label!r}",
            )
        if self._value("tempo", "bpm"):
            fact("bpm" in body, "tempo")
        if self._value("key", "tonic"):
            fact(bool(re.search(r"key of [A-G]", body)), "key")
        if len({s.label for s in self._spans("sections")}) > 1:
            fact("form is" in body, "form")
        for s in self._spans("instruments"):
            if s.score is None or s.score >= 0.5:
                fact(s.label in body or any(s.label in label for label in self.labels), s.label)
        speaks = bool(self.said or self.raw or self.turns or self._extent("speech"))
        for r in self.segment.results:
            if r.kind == "speech_fields" and speaks:
                for name, value in r.values.items():
                    if name not in ("measured", "summary"):
                        fact(str(value).lower() in self.text.lower(), f"{name}: {value}")
        for kind in ("speech", "music", "singing"):
            if self._extent(kind):
                fact(bool(re.search(rf"{kind}|speak|voice|sings|says|⟦q", body, re.I)), kind)
        return named, missed


def read(text: str, segment: AudioSegment) -> Finding:
    """All unsupported statements of a caption, how much is named, and what is missing."""
    return Reader(text, segment).read()
