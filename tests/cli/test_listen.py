"""What transcribe, caption, events and ask print, write and return, on a model that answers at
once."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moss_audio.errors import AudioError, MossAudioError
from moss_audio.recordings.sources import Pipe
from moss_audio.result import Answer, Timeline, result_from_dict

Run = Callable[..., Any]


def _lines(text: str) -> list[str]:
    return text.splitlines()


def test_text_goes_to_stdout_and_nothing_else_does(run: Run, model: Any, clips: Path) -> None:
    done = run("transcribe", clips / "a.wav", clips / "ünï-语音.wav")
    assert (done.code, done.out, done.err) == (0, "hello a\nhello ünï-语音\n", "")


def test_options_reach_the_model(run: Run, model: Any, clips: Path) -> None:
    done = run(
        "transcribe", clips / "a.wav", "--model", "some/where", "--engine", "torch", "--threads", 2,
        "--device", "cpu", "--dtype", "float32", "--batch-size", 3, "--start", 0.1,
        "--end", 0.3, "--track", 2, "--temperature", 0.7, "--seed", 5,
        "--max-new-tokens", 9, "-t", "word",
    )  # fmt: skip
    assert done.code == 0
    options = {"engine": "torch", "threads": 2, "device": "cpu", "dtype": "float32"}
    assert model.loads == [("some/where", {**options, "batch_size": 3})]
    (task, source, options) = model.calls[0]
    assert (task, source) == ("transcribe", str(clips / "a.wav"))
    assert options == {
        "timestamps": "word", "start": 0.1, "end": 0.3, "track": 2,
        "temperature": 0.7, "seed": 5, "max_new_tokens": 9,
    }  # fmt: skip
    run("transcribe", clips / "a.wav", "--confidence", "--format", "json")
    assert model.calls.pop()[2]["logprobs"] == 0
    # Without the option the model bounds the answer by the recording's length.
    run("caption", clips / "a.wav")
    assert {"max_new_tokens", "num_beams"}.isdisjoint(model.calls[1][2])
    run("transcribe", clips / "a.wav", "--num-beams", 4)
    assert model.calls[2][2]["num_beams"] == 4


def test_times_that_were_asked_for_are_in_the_text(run: Run, model: Any, clips: Path) -> None:
    asked = run("transcribe", clips / "a.wav", "--timestamps", "word")
    assert asked.out == "0.10 - 0.40: hello a\n"
    # A format that is named is that format.
    named = run("transcribe", clips / "a.wav", "--timestamps", "word", "--format", "txt")
    assert named.out == "hello a\n"


@pytest.mark.parametrize(
    ("formats", "level"),
    [
        ("txt", None),
        ("json", None),
        ("srt", "sentence"),
        ("srt textgrid", "word"),
        ("TSV", "sentence"),
    ],
)
def test_a_format_brings_the_times_it_needs(
    run: Run, model: Any, clips: Path, tmp_path: Path, formats: str, level: str | None
) -> None:
    flags = [flag for name in formats.split() for flag in ("-f", name)]
    assert run("transcribe", clips / "a.wav", "-o", tmp_path / "out", *flags).code == 0
    assert model.calls[0][2]["timestamps"] == level
    chosen = run("transcribe", clips / "a.wav", "-t", "none", "-o", tmp_path / "out2", *flags)
    assert chosen.code == 0
    assert model.calls[1][2]["timestamps"] is None


@pytest.mark.parametrize(
    ("timestamps", "level"), [(None, "word"), ("sentence", "sentence"), ("none", None)]
)
def test_confidence_is_shown_for_words_unless_told_otherwise(
    run: Run, model: Any, clips: Path, timestamps: str | None, level: str | None
) -> None:
    flags = () if timestamps is None else ("-t", timestamps)
    assert run("transcribe", clips / "a.wav", "-f", "json", "--confidence", *flags).code == 0
    options = model.calls[0][2]
    assert (options["timestamps"], options["logprobs"]) == (level, 0)


def test_json_on_stdout_is_a_line_a_file(run: Run, model: Any, clips: Path) -> None:
    done = run("events", clips, "--format", "json")
    entries = [json.loads(line) for line in _lines(done.out)]
    assert [Path(entry["file"]).name for entry in entries] == [
        "a.wav", "b c.wav", "ünï-语音.wav", "a.wav", "d.WAV",
    ]  # fmt: skip
    assert entries[0]["events"][0] == {"label": "beep", "start": 0.0, "end": 0.2}


def test_json_of_the_command_reads_back(run: Run, model: Any, clips: Path, tmp_path: Path) -> None:
    heard = json.loads(run("events", clips / "a.wav", "-f", "json").out)
    assert isinstance(result_from_dict(heard), Timeline)
    assert run("ask", clips / "a.wav", "-q", "Who?", "-f", "json", "-o", tmp_path).code == 0
    assert result_from_dict(json.loads((tmp_path / "a.json").read_text())) == Answer("re: Who?")


def test_headers_are_for_a_terminal(
    run: Run, model: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "==>" not in run("caption", clips / "a.wav", clips / "b c.wav").out
    monkeypatch.setattr("moss_audio.cli.output.sys", SimpleNamespace(stdout=_Terminal()))
    run("caption", clips / "a.wav", clips / "b c.wav")
    from moss_audio.cli import output

    text = output.sys.stdout.getvalue()
    assert text == (f"==> {clips}/a.wav <==\nA tone.\n\n==> {clips}/b c.wav <==\nA tone.\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_files_keep_their_subfolders_and_every_format(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("transcribe", clips, "-o", out, "-f", "srt", "-f", "json", "-f", "textgrid")
    assert (done.code, done.out) == (0, "")
    assert done.err == "5 of 5 files done\n"
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    stems = ("a", "b c", "sub/a", "sub/deep/d", "ünï-语音")
    assert names == sorted(f"{stem}.{e}" for stem in stems for e in ("srt", "json", "TextGrid"))
    assert "hello a" in (out / "sub" / "a.srt").read_text(encoding="utf-8")


def test_existing_results_are_neither_lost_nor_made_twice(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("transcribe", clips / "a.wav", "-o", out).code == 0
    (out / "a.txt").write_text("mine")
    refused = run("transcribe", clips, "-o", out)
    assert (refused.code, len(_lines(refused.err))) == (1, 1)
    assert "--skip-existing" in refused.err
    assert len(model.loads) == 1  # found out before the model was loaded
    skipped = run("transcribe", clips, "-o", out, "--skip-existing")
    assert (skipped.code, skipped.err) == (0, "4 of 5 files done, 1 skipped\n")
    assert (out / "a.txt").read_text() == "mine"
    again = run("transcribe", clips, "-o", out, "--skip-existing")
    assert (again.code, len(model.loads)) == (0, 2)  # nothing to do: no model is needed
    one = run("transcribe", clips / "a.wav", "-o", out, "--skip-existing")
    assert (one.code, one.err) == (0, "0 of 1 file done, 1 skipped\n")
    assert run("transcribe", clips / "a.wav", "-o", out, "--overwrite").code == 0
    assert (out / "a.txt").read_text() == "hello a\n"


def test_a_bad_file_is_one_line_and_the_rest_go_on(run: Run, model: Any, clips: Path) -> None:
    (clips / "bad.wav").write_bytes(b"not a recording at all")
    done = run("caption", clips / "a.wav", clips / "bad.wav", clips / "gone.wav", clips / "b c.wav")
    assert done.code == 1
    assert done.out == "A tone.\nA tone.\n"
    gone, bad, summary = _lines(done.err)
    assert gone.startswith("error: ")
    assert "gone.wav: no such file" in gone
    assert "bad.wav" in bad
    assert summary == "2 of 4 files done, 2 failed"


def test_one_that_stops_a_whole_group_does_not_take_the_others_along(
    run: Run, model: Any, clips: Path
) -> None:
    def fail(name: str) -> None:
        if "b c" in name:
            raise MossAudioError("this prompt is too long")

    model.fail = fail
    done = run("caption", clips / "a.wav", clips / "b c.wav", clips / "sub")
    assert done.code == 1
    assert done.out == "A tone.\n" * 3
    assert _lines(done.err)[0] == f"error: {clips}/b c.wav: this prompt is too long"


def test_a_long_recording_is_printed_as_it_is_heard(
    run: Run, model: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.long = 0.2
    plain = run("transcribe", clips / "a.wav")
    assert plain.out == "part at 0\npart at 0.2\npart at 0.4\n"
    timed = run("transcribe", clips / "a.wav", "-t", "sentence")
    assert timed.out.splitlines()[1] == "0.20 - 0.40: part at 0.2"
    subtitles = run("transcribe", clips / "a.wav", "-f", "srt").out
    assert subtitles.count("-->") == 3
    assert subtitles.startswith("1\n00:00:00,000 --> 00:00:00,200\npart at 0\n\n2\n")

    # What is out is out, though the rest could not be heard.
    def fail(name: str) -> None:
        raise MossAudioError("the file ends here")

    model.fail = fail
    broken = run("transcribe", clips / "a.wav")
    assert (broken.code, broken.out) == (1, plain.out)
    assert broken.err == f"error: {clips}/a.wav: the file ends here\n"


def test_a_long_recording_comes_whole_where_it_has_to(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    model.long = 0.2
    assert json.loads(run("transcribe", clips / "a.wav", "-f", "json").out)["text"] == "hello a"
    assert run("transcribe", clips / "a.wav", "-f", "srt", "-t", "none").out.count("-->") == 1
    assert run("transcribe", clips / "a.wav", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "a.txt").read_text() == "hello a\n"


def test_a_result_of_another_task_is_not_taken_for_this_one(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    flags = ("-o", tmp_path / "out", "-f", "json")
    assert run("transcribe", clips / "a.wav", *flags).code == 0
    other = run("caption", clips / "a.wav", *flags, "--skip-existing")
    assert (other.code, len(model.loads)) == (1, 1)
    assert other.err == (
        f"error: {tmp_path}/out/a.json holds a result of another task (transcript): choose another "
        "--output-dir, or add --overwrite\n"
    )
    assert run("transcribe", clips / "a.wav", *flags, "--skip-existing").code == 0
    asked = ("-o", tmp_path / "asked", "-f", "json")
    for questions in (("-q", "Who?"), ("-q", "Who?", "-q", "When?")):
        assert run("ask", clips / "a.wav", *asked, *questions, "--overwrite").code == 0
        assert run("ask", clips / "a.wav", *asked, *questions, "--skip-existing").code == 0
        differs = run("ask", clips / "a.wav", *asked, "-q", "Why?", "--skip-existing")
        assert "answers to other questions" in differs.err
    thought = ("ask", clips / "a.wav", *asked, "-q", "Who?", "--skip-existing")
    assert run("ask", clips / "a.wav", *asked, "-q", "Who?", "--overwrite").code == 0
    assert (run(*thought).code, run(*thought, "--no-thinking").code) == (0, 0)
    assert "a.json holds answers without thinking: choose" in run(*thought, "--thinking").err
    assert run(*thought[:-1], "--thinking", "--overwrite").code == 0
    assert (run(*thought).code, run(*thought, "--thinking").code) == (0, 0)
    assert "a.json holds answers with thinking" in run(*thought, "--no-thinking").err
    empty = {"type": "answer", "question": "Who?", "thinking": None, "raw": "<think>\n</think>I"}
    (tmp_path / "asked" / "a.json").write_text(json.dumps(empty))
    assert run(*thought, "--thinking").code == 0
    for stored in ("{", '{"type": 5}'):
        (tmp_path / "asked" / "a.json").write_text(stored)
        refused = run("ask", clips / "a.wav", *asked, "-q", "Why?", "--skip-existing")
        assert "no result" in refused.err


def test_a_result_of_another_recording_is_not_taken_for_this_one(
    run: Run, model: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("-o", tmp_path / "out", "-f", "json", "--skip-existing")
    assert run("caption", clips / "a.wav", *flags).code == 0
    other = run("caption", clips / "sub" / "a.wav", *flags)
    assert (other.code, len(model.loads)) == (1, 1)
    assert other.err == (
        f"error: {tmp_path}/out/a.json holds a result of another recording ({clips}/a.wav): choose "
        "another --output-dir, or add --overwrite\n"
    )
    monkeypatch.chdir(clips / "sub")
    for name in ("../a.wav", clips / "sub" / ".." / "a.wav"):
        assert run("caption", name, *flags).err == "0 of 1 file done, 1 skipped\n"


def test_a_pipe_is_opened_once(run: Run, model: Any, clips: Path, tmp_path: Path) -> None:
    data = (clips / "a.wav").read_bytes()
    for arguments in ((), ("--plot", tmp_path / "a.png")):
        pipe = tmp_path / f"pipe{len(arguments)}.wav"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(data,))
        writer.start()
        done = run("transcribe", pipe, *arguments)
        writer.join(10)
        assert (done.code, done.err) == (0, ""), done.err
        assert done.out.startswith("hello pipe")


def test_a_seed_that_does_not_fit_is_one_line(run: Run, model: Any, clips: Path) -> None:
    done = run("ask", clips / "a.wav", "-q", "Who?", "--seed", 99999999999999999999)
    assert (done.code, len(_lines(done.err)), model.loads) == (1, 1, [])
    assert "seed=99999999999999999999" in done.err


def test_nothing_but_bad_names_does_not_load_a_model(run: Run, model: Any) -> None:
    done = run("caption", "gone.wav")
    assert (done.code, done.out, model.loads) == (1, "", [])
    assert done.err == "error: gone.wav: no such file; check the name\n"


def test_warnings_go_to_stderr(run: Run, model: Any, clips: Path) -> None:
    cut = clips / "cut.wav"
    cut.write_bytes((clips / "a.wav").read_bytes()[:9000])
    done = run("transcribe", cut)
    assert done.code == 0
    if done.err:  # how a decoder sees a short data chunk is its own affair
        assert done.err.startswith("warning: ")


def test_stdin_is_a_file(
    run: Run, model: Any, clips: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = (clips / "a.wav").read_bytes()
    stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("transcribe", "-", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "stdin.txt").read_text().startswith("hello")
    stdin.buffer = _Once(data)
    assert run("transcribe", "-", "-o", tmp_path / "piped").code == 0
    assert isinstance(model.calls[-1][1], Pipe)  # it is read by the loader, within its limit
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    terminal = run("transcribe", "-")
    assert terminal.code == 1
    assert "stdin is a terminal" in terminal.err


class _Once(io.BytesIO):
    name = "<stdin>"

    def seekable(self) -> bool:
        return False


# ------------------------------------------------------------------------------------ ask


def test_several_questions_are_asked_of_every_file(run: Run, model: Any, clips: Path) -> None:
    done = run("ask", clips / "a.wav", clips / "b c.wav", "-q", "Who?", "-q", "When was it?")
    part = "Q: Who?\nA: re: Who?\n\nQ: When was it?\nA: re: When was it?\n"
    assert done.out == part * 2
    lines = run("ask", clips / "a.wav", "-q", "Who?", "-q", "When?", "-f", "json").out
    answers = json.loads(lines)["answers"]
    assert [(a["question"], a["text"]) for a in answers] == [
        ("Who?", "re: Who?"),
        ("When?", "re: When?"),
    ]
    (single,) = _lines(run("ask", clips / "a.wav", "-q", "Who?", "-f", "json").out)
    assert json.loads(single)["question"] == "Who?"


def test_the_last_argument_may_be_the_question(run: Run, model: Any, clips: Path) -> None:
    assert run("ask", clips / "a.wav", "Who is it?").out == "re: Who is it?\n"
    mistyped = run("ask", clips / "a.wav", "no such file.wav")
    assert mistyped.code == 2
    assert "no such file" in mistyped.err
    # A file with spaces in its name is a file, and with -q everything is.
    for arguments in (
        (clips / "a.wav", clips / "b c.wav"),
        (clips / "a.wav", "Who?"),
        ("Who is it?",),
    ):
        done = run("ask", *arguments)
        assert done.code == 2, arguments
        assert done.out == ""
    assert run("ask", clips / "b c.wav", clips / "b c.wav", "-q", "Who?").code == 0
    assert run("ask", clips / "a.wav", "Who is it?", "-q", "Who?").code == 1
    assert run("ask", clips / "a.wav", "-q", " ").code == 2


def test_thinking_is_shown_apart_from_the_answer(run: Run, model: Any, clips: Path) -> None:
    done = run("ask", clips / "a.wav", "-q", "Who?", "--thinking", "--thinking-budget", 20)
    assert done.out == "(thinking)\n  First this.\n  Then that.\nre: Who?\n"
    options = model.calls[0][2]
    assert (options["thinking"], options["thinking_budget"]) == (True, 20)


def test_a_terminal_shows_what_is_thought_dimmed(
    run: Run, model: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ("ask", clips / "a.wav", "-q", "Who?", "--thinking")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    *thought, answer = run(*question).out.splitlines()
    assert thought == [
        f"\x1b[2m{line}\x1b[0m" for line in ("(thinking)", "  First this.", "  Then that.")
    ]
    assert answer == "re: Who?"
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run(*question).out


# ------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("transcribe",),
        ("transcribe", "A", "--timestamps", "syllable"),
        ("transcribe", "A", "--format", "docx"),
        ("transcribe", "A", "--format", "srt", "--format", "vtt"),
        ("transcribe", "A", "B", "--format", "srt"),
        ("transcribe", "A", "--overwrite"),
        ("transcribe", "A", "--start", "-1"),
        ("transcribe", "A", "--batch-size", "0"),
        ("caption", "A", "--format", "srt"),
        ("ask", "A"),
        ("events", "A", "B", "--plot", "one.png"),
        ("train", "sft"),
        ("train", "sft", "--config", "x.yaml", "--set", "steps"),
        ("transcribe", "A", "--confidence"),
    ],
)
def test_wrong_usage_is_2(run: Run, model: Any, clips: Path, arguments: tuple[str, ...]) -> None:
    files = {"A": str(clips / "a.wav"), "B": str(clips / "b c.wav")}
    done = run(*(files.get(argument, argument) for argument in arguments))
    assert done.code == 2
    assert "Traceback" not in done.err
    assert model.loads == []


def test_a_model_that_is_not_there_is_one_line(run: Run, clips: Path) -> None:
    done = run("caption", clips / "a.wav", "--model", clips / "none")
    assert (done.code, done.out) == (1, "")
    (line,) = _lines(done.err)
    assert line.startswith("error: ")
    assert "none" in line


# ----------------------------------------------------------------------------- bad places


def test_an_output_folder_that_cannot_be_is_found_out_at_once(
    run: Run, model: Any, clips: Path
) -> None:
    for place in (clips / "notes.txt", clips / "notes.txt" / "out", Path("/proc/nothing/out")):
        done = run("caption", clips / "a.wav", "-o", place)
        assert done.code == 1, place
        assert len(_lines(done.err)) == 1
        assert str(place) in done.err
    assert model.loads == []


def test_a_read_only_folder_is_found_out_at_once(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write anywhere")
    done = run("caption", clips / "a.wav", "-o", locked)
    assert (done.code, model.loads) == (1, [])
    assert "not writable" in done.err


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    run: Run, model: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import moss_audio.writers as writers

    left = [2]
    real = os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(writers.os, "fsync", fsync)
    out = tmp_path / "out"
    done = run("caption", clips, "-o", out)
    assert done.code == 1
    (line,) = _lines(done.err)
    assert "No space left on device" in line
    assert "2 files done" in line
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["a.txt", "b c.txt"]


def test_an_interrupt_keeps_what_is_done(run: Run, model: Any, clips: Path, tmp_path: Path) -> None:
    def fail(name: str) -> None:
        if name.endswith("d.WAV"):
            raise KeyboardInterrupt

    model.fail = fail
    out = tmp_path / "out"
    done = run("caption", clips, "-o", out)
    assert done.code == 130
    assert done.err == "interrupted: 4 files done, 1 not\n"
    assert len(list(out.rglob("*.txt"))) == 4


def test_an_error_of_ours_is_not_hidden(run: Run, model: Any, clips: Path) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("a bug")

    model.fail = fail
    with pytest.raises(RuntimeError, match="a bug"):
        run("caption", clips / "a.wav")


def test_an_audio_error_from_anywhere_names_the_file(run: Run, model: Any, clips: Path) -> None:
    def fail(name: str) -> None:
        raise AudioError("too short")

    model.fail = fail
    assert run("caption", clips / "a.wav").err == f"error: {clips}/a.wav: too short\n"


# ------------------------------------------------------------------------------- progress


def test_the_bar_is_on_stderr_and_only_on_a_terminal(
    run: Run, model: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    done = run("caption", clips)
    assert done.out == "A tone.\n" * 5
    assert "loading the model" in terminal.getvalue() or "files" in terminal.getvalue()
    terminal.truncate(0)
    run("caption", clips / "a.wav")  # a single short one
    assert terminal.getvalue().strip("\0") == ""
