from __future__ import annotations

from typing import Any

import pytest

from moss_audio.errors import PromptError
from moss_audio.prompt import audio_parts, parse_messages

USER = {"role": "user", "content": "hello"}
WRONG = {"role": "assistant", "content": "2", "thinking": "1 + 1 = 3\nno: 2"}


def test_strings_and_parts() -> None:
    turns = parse_messages(
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "audio", "audio": "a.wav"},
                                         {"type": "text", "text": "one "},
                                         {"type": "text", "text": ""},
                                         {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": "x", "thinking": "t"},
        ]
    )  # fmt: skip
    assert [turn.role for turn in turns] == ["system", "user", "assistant"]
    assert turns[1].text == "one two"
    assert len(turns[1].parts) == 3  # the empty text is gone
    assert [part.fields["audio"] for part in audio_parts(turns)] == ["a.wav"]
    assert turns[2].thinking == "t"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("hello", "not str"),
        (USER, "not dict"),
        ([], "no user message"),
        (["hello"], "message 0 must be a mapping"),
        ([{"role": "tool", "content": "x"}], "message 0 has the role 'tool'"),
        ([USER, {"role": "system", "content": "x"}], "message 1 is a system message"),
        ([{"role": "user"}], "message 0 has no 'content'"),
        ([{"role": "user", "content": None}], "content of message 0"),
        ([{"role": "user", "content": 3}], "content of message 0"),
        ([{"role": "user", "content": b"x"}], "content of message 0"),
        ([{"role": "user", "content": ["x"]}], "part 0 of message 0 is str"),
        ([{"role": "user", "content": [{"type": "image"}]}], "part 0 of message 0 is 'image'"),
        ([{"role": "user", "content": [{"type": "text"}]}], "'text' in part 0 of message 0"),
        ([{"role": "user", "content": "\ud800"}], "lone surrogate at character 0"),
        ([{"role": "user", "content": "x", "name": "y"}], "unknown keys \\['name'\\]"),
        ([{"role": "user", "content": "x", "thinking": "y"}], "only assistant messages"),
        ([USER, {"role": "assistant", "content": "x", "thinking": 1}], "'thinking' of message 1"),
        ([{"role": "system", "content": [{"type": "audio"}]}, USER], "only user messages may hold"),
        ([USER, {**WRONG, "thinking": "", "unlearnt": ["a\n"]}], "is no line of its 'think"),
        ([USER, {**WRONG, "unlearnt": ["2 = 3\n"]}], "'2 = 3.n' in 'unlearnt' of message 1 is n"),
        ([USER, {**WRONG, "unlearnt": ["1 + 1 = 3"]}], "is no line"),
        ([USER, {**WRONG, "unlearnt": ["no: 2\n", "1 + 1 = 3\n"]}], "in order"),
        ([USER, {**WRONG, "unlearnt": "1 + 1 = 3\n"}], "must be a list of strings, not str"),
    ],
)
def test_each_mistake_is_one_clear_line(messages: Any, says: str) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        parse_messages(messages)
    assert "\n" not in str(caught.value)
