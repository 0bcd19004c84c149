"""The processor: every call form, batches of any mix, folders in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moss_audio.dsp.mel import log_mel
from moss_audio.errors import AudioError, CheckpointError, PromptError
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.prompt import AUDIO_PLACEHOLDER, render, render_raw
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from moss_audio.units import num_frames, num_tokens

N_MELS = 16
FIXTURES = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def clip(n_samples: int = 4000, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    return (0.1 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def processor() -> MossAudioProcessor:
    spec = tiny_prompt_spec()
    return MossAudioProcessor(
        tiny_tokenizer(),
        audio_token_id=spec.audio_token_id,
        audio_start_id=spec.audio_start_id,
        audio_end_id=spec.audio_end_id,
        mel_config={"mel_dim": N_MELS},
    )


def rows(out: Any) -> list[list[int]]:
    """The prompts' ids without padding."""
    return [
        ids[mask.bool()].tolist()
        for ids, mask in zip(out["input_ids"], out["attention_mask"], strict=True)
    ]


def user(n: int, text: str) -> dict[str, Any]:
    return {"role": "user", "content": [*[{"type": "audio"}] * n, {"type": "text", "text": text}]}


def tokens(samples: np.ndarray) -> int:
    return num_tokens(num_frames(len(samples)))


# --- call forms ----------------------------------------------------------------------------


def test_a_plain_question_gets_the_default_prompt(processor: MossAudioProcessor) -> None:
    samples = clip(40_000)
    out = processor(text="What is this?", audio=samples)
    expected = render(
        [user(1, "What is this?")], [tokens(samples)], processor.tokenizer, processor.prompt_spec
    )
    assert rows(out) == [expected.input_ids]
    assert out["audio_input_mask"].tolist() == [expected.audio_mask]
    assert out["audio_data_seqlens"].tolist() == [250]
    assert out["audio_data"].shape == (1, N_MELS, 250)
    assert np.array_equal(out["audio_data"][0].numpy(), log_mel(samples, N_MELS))
    assert set(out) == set(processor.model_input_names)


def test_text_holding_placeholders_is_used_as_it_is(processor: MossAudioProcessor) -> None:
    prompt = f"<|im_start|>user\na{AUDIO_PLACEHOLDER}b{AUDIO_PLACEHOLDER}<|im_end|>"
    one, two = clip(4000), clip(6000)
    out = processor(text=prompt, audio=[one, two])
    expected = render_raw(
        prompt, [tokens(one), tokens(two)], processor.tokenizer, processor.prompt_spec
    )
    assert rows(out) == [expected.input_ids]
    for audio in (None, one, [one], [one, two, one]):
        with pytest.raises(PromptError, match="2 audio placeholders but"):
            processor(text=prompt, audio=audio)


def test_raw_prompt_overrides_what_the_text_looks_like(processor: MossAudioProcessor) -> None:
    plain = processor(text=AUDIO_PLACEHOLDER, audio=clip(), raw_prompt=False)
    assert int(plain["audio_input_mask"].sum()) == tokens(clip())
    assert plain["audio_data"].shape[0] == 1
    raw = processor(text="<|im_end|>", raw_prompt=True)
    assert raw["input_ids"].tolist() == [[processor.tokenizer.convert_tokens_to_ids("<|im_end|>")]]


def test_lists_of_texts_and_clips(processor: MossAudioProcessor) -> None:
    a, b, c = clip(4000, 1), clip(5000, 2), clip(6000, 3)
    singles = [
        rows(processor(text="x", audio=a))[0],
        rows(processor(text="y", audio=[b, c]))[0],
        rows(processor(text="z"))[0],
    ]
    out = processor(text=["x", "y", "z"], audio=[a, [b, c], None])
    assert rows(out) == singles
    assert out["audio_data_seqlens"].tolist() == [25, 31, 37]
    assert rows(processor(text=["x"], audio=[[a]])) == singles[:1]
    assert rows(processor(text=["y"], audio=[b, c])) == singles[1:2]
    # Written-out prompts may share one flat list: each takes as many clips as it has places.
    prompts = [AUDIO_PLACEHOLDER, "-", AUDIO_PLACEHOLDER * 2]
    flat = processor(text=prompts, audio=[a, b, c], raw_prompt=True)
    nested = processor(text=prompts, audio=[[a], None, [b, c]], raw_prompt=True)
    assert rows(flat) == rows(nested)


def test_messages_hold_their_clips(processor: MossAudioProcessor) -> None:
    samples = clip(32_000)
    question = {"type": "text", "text": "x"}
    inside = [{"role": "user", "content": [{"type": "audio", "audio": samples}, question]}]
    expected = processor(text="x", audio=samples)
    assert rows(processor(messages=inside)) == rows(expected)
    assert rows(processor(messages=[user(1, "x")], audio=samples)) == rows(expected)
    part = {"type": "audio", "audio": samples, "start": 0.5, "end": 1.5}
    cut = processor(messages=[{"role": "user", "content": [part, question]}])
    assert cut["audio_data_seqlens"].tolist() == [100]
    batch = processor(messages=[inside, [user(0, "y")], [user(2, "z")]],
                      audio=[None, None, [samples, samples]])  # fmt: skip
    assert batch["audio_data"].shape[0] == 3
    templated = processor.apply_chat_template(
        inside, tokenize=True, return_dict=True, add_generation_prompt=True
    )
    assert rows(templated) == rows(expected)


def test_the_chat_template_as_text_goes_back_in(processor: MossAudioProcessor) -> None:
    messages = [{"role": "system", "content": "s"}, user(1, "x"),
                {"role": "assistant", "content": "y"}, user(0, "z")]  # fmt: skip
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text.count(AUDIO_PLACEHOLDER) == 1
    again = processor(text=text, audio=clip())
    assert rows(again) == rows(processor(messages=messages, audio=clip()))
    assert processor.apply_chat_template([messages], add_generation_prompt=True) == [text]


def test_arrays_at_another_rate_are_resampled(processor: MossAudioProcessor) -> None:
    at_8k = clip(8000)
    for out in (
        processor(text="x", audio=at_8k, sampling_rate=8000),
        processor(text="x", audio=(at_8k, 8000)),
        processor(text="x", audio=torch.from_numpy(at_8k), sampling_rate=8000),
    ):
        assert out["audio_data_seqlens"].tolist() == [100]


def test_labels_are_the_answer_and_its_end(processor: MossAudioProcessor) -> None:
    messages = [user(1, "x"), {"role": "assistant", "content": "yes 12"}]
    out = processor(
        messages=[messages, [user(0, "a longer question"), messages[1]]],
        audio=[clip(), None],
        return_loss_mask=True,
    )
    tokenizer = processor.tokenizer
    answer = [*tokenizer.encode("yes 12"), tokenizer.convert_tokens_to_ids("<|im_end|>")]
    for labels, ids in zip(out["labels"], out["input_ids"], strict=True):
        assert labels[labels != -100].tolist() == answer
        assert torch.equal(ids[labels != -100], labels[labels != -100])
    with pytest.raises(PromptError, match="nothing to train on"):
        processor(text="x", audio=clip(), return_loss_mask=True)


def test_decoding_passes_over_ids_beyond_the_tokenizer(processor: MossAudioProcessor) -> None:
    ids = [*processor.tokenizer.encode("hello"), processor.audio_start_id, processor.audio_end_id]
    assert processor.decode(ids) == "hello"
    assert processor.batch_decode([ids, ids[:5]]) == ["hello", "hello"]


# --- batches -------------------------------------------------------------------------------

prompts = st.tuples(
    st.text(max_size=8), st.lists(st.integers(160, 20_000), max_size=3), st.booleans()
)


@FIXTURES
@given(st.lists(prompts, min_size=1, max_size=4))
def test_a_batch_is_its_singles_padded_left(
    processor: MossAudioProcessor, batch: list[tuple[str, list[int], bool]]
) -> None:
    texts = [
        AUDIO_PLACEHOLDER * len(lengths) + "x" if raw and lengths else text
        for text, lengths, raw in batch
    ]
    audio = [[clip(n, seed=n) for n in lengths] for _, lengths, _ in batch]
    out = processor(text=texts, audio=audio)
    singles = [processor(text=t, audio=a) for t, a in zip(texts, audio, strict=True)]
    width = out["input_ids"].shape[1]
    assert width == max(single["input_ids"].shape[1] for single in singles)
    at_clip = 0
    for i, single in enumerate(singles):
        pad = width - single["input_ids"].shape[1]
        assert out["attention_mask"][i].tolist() == [0] * pad + [1] * (width - pad)
        assert out["input_ids"][i, pad:].tolist() == single["input_ids"][0].tolist()
        assert out["input_ids"][i, :pad].tolist() == [processor.tokenizer.pad_token_id] * pad
        for n in range(len(audio[i])):
            frames = int(single["audio_data_seqlens"][n])
            mel = single["audio_data"][n, :, :frames]
            assert int(out["audio_data_seqlens"][at_clip]) == frames
            assert torch.equal(out["audio_data"][at_clip, :, :frames], mel)
            assert not out["audio_data"][at_clip, :, frames:].any()
            at_clip += 1
        if audio[i]:
            assert (
                out["audio_input_mask"][i, pad:].tolist() == single["audio_input_mask"][0].tolist()
            )
    if at_clip:
        n_tokens = sum(num_tokens(int(n)) for n in out["audio_data_seqlens"])
        assert int(out["audio_input_mask"].sum()) == n_tokens
        assert (out["input_ids"][out["audio_input_mask"]] == processor.audio_token_id).all()
    else:
        assert set(out) == {"input_ids", "attention_mask"}


# --- folders -------------------------------------------------------------------------------


def test_save_and_load_change_nothing(processor: MossAudioProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "processor_config.json").read_text())
    assert config["enable_time_marker"] is True
    assert config["audio_token_id"] == processor.audio_token_id
    assert config["audio_start_id"] == processor.audio_start_id
    assert config["audio_end_id"] == processor.audio_end_id
    assert config["mel_config"] == {
        "mel_dim": N_MELS, "mel_sr": 16000, "mel_hop_length": 160, "mel_n_fft": 400,
    }  # fmt: skip
    assert (tmp_path / "chat_template.jinja").read_text() == processor.chat_template
    again = MossAudioProcessor.from_pretrained(tmp_path)
    assert again.prompt_spec == processor.prompt_spec
    assert again.mel_config == processor.mel_config
    samples = clip(64_000)
    before = processor(text="<think>x 12\n", audio=samples)
    after = again(text="<think>x 12\n", audio=samples)
    assert rows(after) == rows(before)
    assert torch.equal(after["audio_data"], before["audio_data"])
    # Loading a second time from what was saved a second time is still the same.
    again.save_pretrained(tmp_path / "twice")
    twice = json.loads((tmp_path / "twice" / "processor_config.json").read_text())
    assert twice == config


def released_folder(path: Path, config: dict[str, Any] | None) -> Path:
    """A folder as released: the decoder's own tokenizer and template, few or no processor keys."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(path)
    if config is not None:
        (path / "processor_config.json").write_text(json.dumps(config))
    return path


def test_a_released_folder(tmp_path: Path) -> None:
    mel = {"mel_dim": 128, "mel_sr": 16000, "mel_hop_length": 160, "mel_n_fft": 400}
    processor = MossAudioProcessor.from_pretrained(
        released_folder(tmp_path / "a", {"enable_time_marker": True, "mel_config": mel})
    )
    spec = processor.prompt_spec
    assert (spec.audio_token_id, spec.audio_start_id, spec.audio_end_id) == (151654, 151669, 151670)
    assert spec.time_markers
    assert processor.n_mels == 128
    # The decoder's own template knows no clips; ours takes its place, and is saved.
    assert AUDIO_PLACEHOLDER in processor.apply_chat_template([user(1, "x")])
    bare = MossAudioProcessor.from_pretrained(released_folder(tmp_path / "b", None))
    assert bare.prompt_spec == spec
    off = MossAudioProcessor.from_pretrained(
        released_folder(tmp_path / "c", {"enable_time_marker": False, "audio_start_id": 49153})
    )
    assert not off.prompt_spec.time_markers
    assert off.audio_start_id == 49153


def test_remote_code_named_by_a_folder_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any) -> str:
        raise AssertionError("the user was asked whether to run remote code")

    monkeypatch.setattr("builtins.input", asked)
    folder = released_folder(tmp_path, {"auto_map": {"AutoProcessor": "evil.Processor"}})
    auto_map = {"AutoConfig": "evil.Config", "AutoTokenizer": "evil.Tokenizer"}
    config = {"model_type": "moss_audio", "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('remote code ran')")
    processor = MossAudioProcessor.from_pretrained(folder, trust_remote_code=True)
    assert processor.decode(processor.tokenizer.encode("x")) == "x"


def test_two_seconds_carry_a_marker_unless_switched_off(
    processor: MossAudioProcessor, tmp_path: Path
) -> None:
    two = processor.tokenizer.convert_tokens_to_ids("2")
    assert two in rows(processor(text="x", audio=clip(32_000)))[0]
    processor.save_pretrained(tmp_path)
    off = MossAudioProcessor.from_pretrained(tmp_path, enable_time_marker=False)
    assert two not in rows(off(text="x", audio=clip(32_000)))[0]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"mel_config": {"mel_sr": 8000}}, "mel_sr=8000, but only 16000"),
        ({"mel_config": {"mel_dim": 0}}, "mel_dim=0"),
        ({"mel_config": {"mel_bins": 80}}, "unknown keys"),
        ({"audio_start_id": 151670}, "three different token ids"),
    ],
)
def test_a_bad_processor_config(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        MossAudioProcessor.from_pretrained(released_folder(tmp_path, config))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)) as caught:
        MossAudioProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_tokenizer_is_one_clear_line(tmp_path: Path) -> None:
    released_folder(tmp_path, {})
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no processor in") as caught:
        MossAudioProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


# --- mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({}, "either text or messages"),
        ({"text": "x", "messages": [user(0, "x")]}, "either text or messages"),
        ({"text": []}, "empty list"),
        ({"text": ["x", 3]}, "text 1 must be a string, not int"),
        ({"text": ["x", "y"], "audio": clip()}, "one clip is given for 2 prompts"),
        ({"text": ["x", "y"], "audio": [clip()]}, "1 entries of audio for 2 prompts"),
        ({"messages": []}, "not empty"),
        ({"messages": [[user(0, "x")], "y"]}, "must be a list of"),
        ({"messages": [user(1, "x")]}, "1 audio parts without a clip but 0"),
        ({"messages": [{"role": "user", "content": [{"type": "audio", "wav": 1}]}]}, "'wav'"),
        ({"messages": [{"role": "user", "content": [
            {"type": "audio", "path": "a", "url": "b"}]}]}, "several clips"),
        ({"text": "x", "audio": clip(100)}, "too short"),
        ({"text": "x", "padding": "max_length"}, "padding='max_length'"),
        ({"text": "x", "return_tensors": "np"}, "return_tensors='np'"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_clear_line(
    processor: MossAudioProcessor, call: dict[str, Any], says: str
) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        processor(**call)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "part", [{"audio": 3}, {"audio": clip(), "start": "1"}, {"audio": b"x", "sampling_rate": 8000}]
)
def test_a_bad_audio_part_is_one_clear_line(
    processor: MossAudioProcessor, part: dict[str, Any]
) -> None:
    with pytest.raises((AudioError, PromptError)) as caught:
        processor(messages=[{"role": "user", "content": [{"type": "audio", **part}]}])
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(processor: MossAudioProcessor) -> None:
    with pytest.raises(AudioError, match=r"no-such-file\.wav"):
        processor(text="x", audio="no-such-file.wav")
