"""Results as text: what a format's writer gives, one JSON line a file, or several answers.

The writers are imported where they are used: they bring in numpy, and --help should not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.result import Answer, Event, Result, Timeline, Transcript

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "textgrid")
UNTIMED_FORMATS = ("txt", "json")
PLAIN = "txt"
_DIM, _RESET = "\x1b[2m", "\x1b[0m"  # how a terminal shows what follows


@dataclass(frozen=True)
class Rendering:
    """How one run's results are written.

    `formats` are writers' names; `kind` is the results' `type` in JSON; `show_times` adds times to
    plain text, for a transcript whose times were asked for without naming a format; `questions` are
    those of `ask`, in order, and `thinking` whether it is told to think before it answers;
    `dim_thinking` is for a terminal that can show a thought dimmed.
    """

    formats: tuple[str, ...]
    kind: str
    show_times: bool = False
    questions: tuple[str, ...] = ()
    thinking: bool | None = None
    dim_thinking: bool = False

    def extension(self, format_name: str) -> str:
        from moss_audio.writers import get_writer

        return get_writer(format_name).extension

    def text(self, results: Sequence[Result], format_name: str, name: str) -> str:
        """The content of the file about the recording `name`, ending in a newline. `results` has
        one entry, or one a question."""
        from moss_audio.writers import get_writer

        if format_name == "json":
            data = {"file": writable(name), **self.data(results)}
            return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
        if len(results) > 1:
            return "\n".join(
                f"Q: {' '.join(question.split())}\nA: {self._plain(answer)}"
                for question, answer in zip(self.questions, results, strict=True)
            )
        (result,) = results
        if format_name != PLAIN:
            return get_writer(format_name).render(result)
        return self._plain(result, self.show_times)

    def lines(self, parts: Iterable[Result]) -> Iterator[str] | None:
        """Text of the only format, piece by piece, as the parts of a long recording come; None for
        a format that needs the whole."""
        from moss_audio.writers import LineWriter, get_writer

        (name,) = self.formats
        writer = get_writer(name)
        if name == PLAIN and self.show_times:
            return (self._plain(part, True) for part in parts)
        return writer.lines(parts) if isinstance(writer, LineWriter) else None

    def is_other(self, stored: str, is_name: Callable[[str], bool]) -> str | None:
        """What the content of a JSON file holds, where it is no result of this task, or of another
        recording than the one that `is_name` knows by its name."""
        try:
            data = json.loads(stored)
            kind = data["type"]
            answers = data["answers"] if kind == "answers" else [data]
            questions = tuple(one.get("question") for one in answers)
            thought = {_has_thought(one) for one in answers}
            file = data.get("file")
            of_this_task = kind.removesuffix("s") == self.kind
        except (ValueError, TypeError, KeyError, AttributeError):
            return "no result"
        if not of_this_task:
            return f"a result of another task ({kind})"
        if isinstance(file, str) and not is_name(file):
            return f"a result of another recording ({file})"
        if self.questions and questions != self.questions:
            return "answers to other questions"
        if self.questions and self.thinking is not None and thought != {self.thinking}:
            return f"answers {'without' if self.thinking else 'with'} thinking"
        return None

    def data(self, results: Sequence[Result]) -> dict[str, Any]:
        """A file's results as JSON types; several answers become a list under `answers`."""
        from moss_audio.writers import JsonWriter

        parts: list[dict[str, Any]] = [json.loads(JsonWriter().render(r)) for r in results]
        if not self.questions:
            return parts[0]
        answers = [
            {"question": question, **part}
            for question, part in zip(self.questions, parts, strict=True)
        ]
        return answers[0] if len(answers) == 1 else {"type": "answers", "answers": answers}

    def json_line(self, name: str, results: Sequence[Result]) -> str:
        """One line of JSON that names its file."""
        return json.dumps({"file": name, **self.data(results)}, ensure_ascii=False) + "\n"

    def _plain(self, result: Result, show_times: bool = False) -> str:
        from moss_audio.writers import TxtWriter, finest_times

        if isinstance(result, Answer) and result.thinking:
            lines = ("(thinking)", *(f"  {x}" for x in result.thinking.strip().splitlines()))
            how = f"{_DIM}%s{_RESET}" if self.dim_thinking else "%s"
            return "".join(how % line + "\n" for line in lines) + TxtWriter().render(result)
        if show_times and isinstance(result, Transcript) and (timed := finest_times(result)):
            # The lines of a timeline: times come first, in the one place where they are rounded.
            spans = tuple(Event(x.text, x.start, x.end) for x in timed)
            return TxtWriter().render(Timeline(spans, result.duration))
        return TxtWriter().render(result)


def writable(name: str) -> str:
    """A file name as UTF-8 can hold it."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _has_thought(answer: dict[str, Any]) -> bool:
    """Whether a stored answer was thought about; of an empty thought only `raw` knows."""
    from moss_audio.text import THINK_OPEN

    return bool(answer.get("thinking")) or THINK_OPEN in (answer.get("raw") or "")


def check_formats(formats: Sequence[str], *, timed: bool) -> tuple[str, ...]:
    """Formats in the order given, once each, in lower case.

    Raises:
        MossAudioError: for an unknown one, or one that needs times where there are none.
    """
    names = tuple(dict.fromkeys(name.strip().lower().lstrip(".") for name in formats))
    allowed = FORMATS if timed else UNTIMED_FORMATS
    for name in names:
        if name not in FORMATS:
            raise MossAudioError(f"unknown format {name!r}: choose one of {', '.join(FORMATS)}")
        if name not in allowed:
            raise MossAudioError(
                f"{name} holds text with times; here choose {' or '.join(allowed)}"
            )
    return names
