"""Which recordings FILE arguments stand for, and that no two outputs share a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.cli.inputs import Input, _key, _with_own_stems, find_inputs, is_input


def _stems(*arguments: object) -> list[str]:
    found = find_inputs([str(a) for a in arguments])
    assert found.problems == ()
    return [item.stem.as_posix() for item in found.inputs]


def test_a_folder_gives_its_media_files_with_their_subfolders(clips: Path) -> None:
    assert _stems(clips) == ["a", "b c", "ünï-语音", "sub/a", "sub/deep/d"]


def test_a_file_may_be_called_anything(clips: Path) -> None:
    assert _stems(clips / "notes.txt") == ["notes"]


def test_a_pattern_keeps_the_subfolders_below_its_fixed_part(clips: Path) -> None:
    assert _stems(f"{clips}/**/*.wav") == ["a", "b c", "sub/a", "ünï-语音"]
    assert _stems(f"{clips}/*.wav") == ["a", "b c", "ünï-语音"]


def test_an_existing_name_with_brackets_is_no_pattern(clips: Path) -> None:
    odd = clips / "take [1].wav"
    odd.write_bytes((clips / "a.wav").read_bytes())
    assert _stems(odd) == ["take [1]"]


def test_a_file_named_twice_is_taken_once(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    assert _stems("a.wav", clips / "a.wav", "./sub/../a.wav") == ["a"]


def test_equal_stems_are_told_apart_by_folder_then_extension(clips: Path) -> None:
    assert _stems(clips / "a.wav", clips / "sub" / "a.wav") == ["a", "sub/a"]
    (clips / "a.mp3").write_bytes((clips / "a.wav").read_bytes())
    assert _stems(clips / "a.wav", clips / "a.mp3") == ["a.wav", "a.mp3"]
    # The names do not depend on the order, so that a run can be taken up again.
    assert _stems(clips / "a.mp3", clips / "a.wav") == ["a.mp3", "a.wav"]


def test_names_that_differ_in_case_alone_do_not_collide(clips: Path) -> None:
    (clips / "A.WAV").write_bytes((clips / "a.wav").read_bytes())
    stems = _stems(clips / "a.wav", clips / "A.WAV")
    assert len({stem.casefold() for stem in stems}) == 2


def test_urls_are_named_by_their_last_part() -> None:
    stems = _stems(
        "https://example.org/x/talk%201.mp3?key=secret", "http://example.org/", "data:audio/wav,"
    )
    assert stems == ["talk 1", "audio", "data"]
    (item,) = find_inputs(["https://user:pw@example.org/talk.mp3?key=secret"]).inputs
    assert item.name == "https://example.org/talk.mp3"


@pytest.mark.parametrize(
    "url",
    [
        "http://e.org/..%2f..%2fetc%2fpasswd",
        "http://e.org/%00a%2fb.mp3",
        "http://e.org/%2e",
        "http://e.org/.%2e",
    ],
)
def test_a_url_cannot_choose_another_folder(url: str) -> None:
    (stem,) = _stems(url)
    assert "/" not in stem
    assert stem not in ("", ".", "..")


def test_a_pattern_cannot_lead_an_output_out_of_its_folder(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips / "sub")
    assert _stems("dee*/../../a.w*") == ["a"]


def test_what_is_missing_is_a_problem_of_its_own(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = find_inputs(
        [f"{clips}/x.wav", str(clips / "a.wav"), f"{clips}/*.ogg", f"{tmp_path}/empty"]
    )
    assert [item.stem.as_posix() for item in found.inputs] == ["a"]
    missing, pattern, empty = found.problems
    assert "x.wav: no such file" in missing
    assert "nothing matches" in pattern
    assert "no recordings" in empty
    assert not is_input(f"{clips}/*.ogg")
    assert is_input(f"{clips}/*.wav")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["/r", "/r/x", "/s", "/s/x"]),
            st.sampled_from(["a", "A", "é", "é", "a-2", "a.wav"]),
            st.sampled_from([".wav", ".mp3", ""]),
        ),
        unique=True,
        max_size=12,
    )
)
def test_stems_are_always_unique(files: list[tuple[str, str, str]]) -> None:
    from pathlib import PurePath

    inputs = [Input(f"{d}/{n}{e}", f"{d}/{n}{e}", PurePath(n)) for d, n, e in files]
    stems = [_key(item.stem) for item in _with_own_stems(inputs)]
    assert len(set(stems)) == len(stems)
    assert not any(".." in PurePath(stem).parts or stem.startswith("/") for stem in stems)


def test_a_file_url_is_a_file(clips: Path) -> None:
    assert _stems(f"file://{clips}/b%20c.wav") == ["b c"]
    assert is_input(f"file://{clips}/gone.wav")
