"""Batches, reuse, streaming and limits of the torch engine, on a tiny random model in float32."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from moss_audio.engine import Generation, GenerationOptions, Request, torch_runner
from moss_audio.engine.prompts import similar_lengths
from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.errors import AudioError, MossAudioError, PromptError
from moss_audio.model.device import choose_device, choose_dtype, training_dtype
from moss_audio.prompt import ChatVocabulary
from tests.engine.conftest import build_engine


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)


def sampled(seed: int, **changes: Any) -> GenerationOptions:
    return GenerationOptions(max_new_tokens=14, temperature=1.0, seed=seed).changed(**changes)


def mixed() -> list[Request]:
    """Eight prompts of all kinds: none, one and two clips, greedy and sampled."""
    a, b = noise(0.5, 1), noise(2.3, 2)
    return [
        Request.question("what is it", noise(0.3), options=sampled(1)),
        Request.question("hello", options=sampled(2)),
        Request.question("compare", a, b, options=sampled(3)),
        Request.question("a much longer question about this", noise(4.05, 3), options=sampled(4)),
        Request.question("once more", b, options=sampled(5, top_k=20)),
        Request.question("and again", b, options=sampled(6, top_p=0.8)),
        Request.question("greedy", a, options=sampled(7, temperature=0.0)),
        Request.question("stop early", noise(3.99, 4), options=sampled(8, max_new_tokens=3)),
    ]


@pytest.fixture(scope="module")
def singles(shared_engine: TorchEngine) -> list[Generation]:
    answers = []
    for request in mixed():
        shared_engine.forget()
        answers.append(shared_engine.generate([request])[0])
    return answers


def test_a_batch_of_eight_gives_what_eight_single_calls_give(
    engine: TorchEngine, singles: list[Generation]
) -> None:
    answers = engine.generate(mixed())
    assert [a.token_ids for a in answers] == [a.token_ids for a in singles]
    assert [a.text for a in answers] == [a.text for a in singles]
    assert len({a.token_ids for a in singles}) == 8, "the model's answers should vary"


@pytest.mark.parametrize("pass_cost", [0, 1, 16, 10_000])
def test_prompts_of_similar_length_are_prefilled_together(pass_cost: int) -> None:
    rng = random.Random(pass_cost)
    for _ in range(30):
        lengths = [rng.randrange(1, 60) for _ in range(rng.randrange(1, 7))]
        groups = similar_lengths(lengths, pass_cost)
        assert sorted(place for group in groups for place in group) == list(range(len(lengths)))

        def cost(groups: list[list[int]], lengths: list[int] = lengths) -> int:
            return sum(max(lengths[i] for i in g) * len(g) + pass_cost for g in groups)

        # brute force: every way to cut the sorted lengths
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        costs = []
        for cuts in range(2 ** (len(order) - 1)):
            found: list[list[int]] = [[order[0]]]
            for bit, place in enumerate(order[1:]):
                if cuts >> bit & 1:
                    found.append([])
                found[-1].append(place)
            costs.append(cost(found))
        assert cost(groups) == min(costs)


def test_prompts_prefilled_in_any_groups_give_the_same_tokens(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [one.token_ids for one in engine.generate(mixed())]
    for pass_cost in (0, 10_000):
        engine.forget()
        monkeypatch.setitem(torch_runner._PASS_COST, "cpu", pass_cost)
        assert [one.token_ids for one in engine.generate(mixed())] == expected


def test_a_shuffled_batch_and_small_batches_give_the_same(singles: list[Generation]) -> None:
    order = list(range(8))
    random.Random(3).shuffle(order)
    requests = mixed()
    small = build_engine(batch_size=3, batch_tokens=150)
    done: list[int] = []
    answers = small.generate([requests[i] for i in order], lambda index, _: done.append(index))
    assert [a.token_ids for a in answers] == [singles[i].token_ids for i in order]
    assert sorted(done) == list(range(8))


def test_each_member_of_several_sequences_is_a_single_call_with_its_seed(
    engine: TorchEngine,
) -> None:
    clip = noise(1.0)
    options = sampled(10)
    several = engine.generate(
        [Request.question("x", clip, options=options.changed(num_return_sequences=3))]
    )[0]
    found = [several.token_ids, *(other.token_ids for other in several.alternatives)]
    engine.forget()
    alone = [
        engine.generate([Request.question("x", clip, options=options.changed(seed=seed))])[0]
        for seed in (10, 11, 12)
    ]
    assert found == [one.token_ids for one in alone]
    assert len(set(found)) == 3


def test_greedy_tokens_are_those_of_transformers_generate(engine: TorchEngine) -> None:
    clip, suppressed = noise(2.3), sorted(engine.processor.prompt_spec.audio_ids)
    inputs = engine.processor(text="what is it", audio=[clip])
    expected = engine.model.generate(
        **inputs, max_new_tokens=12, do_sample=False, suppress_tokens=suppressed, eos_token_id=-1
    )[0, inputs["input_ids"].shape[1] :].tolist()
    options = GenerationOptions(max_new_tokens=12)
    answer = engine.generate([Request.question("what is it", clip, options=options)])[0]
    assert list(answer.token_ids) == expected[: len(answer.token_ids)]
    assert answer.prompt_tokens == inputs["input_ids"].shape[1]


def test_a_second_question_reuses_the_clip_and_gives_the_same_tokens(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, options = noise(3.0), sampled(4)
    first = Request.question("one", clip, options=options)
    second = Request.question("two", clip.copy(), options=options)
    fresh = engine.generate([second])[0]
    engine.forget()
    engine.generate([first])
    _forbid_encoding(engine, monkeypatch)
    assert engine.generate([second])[0].token_ids == fresh.token_ids
    # what was kept stays clean: asking again changes nothing
    assert engine.generate([second])[0].token_ids == fresh.token_ids


def test_a_session_answers_without_encoding_again(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, options = noise(2.0), sampled(5)
    fresh = engine.generate([Request.question("two", clip, options=options)])[0]
    engine.forget()
    with engine.open(clip) as session:
        _forbid_encoding(engine, monkeypatch)
        assert session.ask("two", options).token_ids == fresh.token_ids
        assert "".join(session.stream("two", options)) == fresh.text


def test_a_session_outlives_a_full_store_and_frees_it_at_its_end() -> None:
    engine = build_engine(reuse_bytes=1)
    session = engine.open(noise(1.0))
    assert session.ask("x", GenerationOptions(max_new_tokens=2)).token_ids
    assert engine.scheduler.stats().prefixes == 1
    session.close()
    _settle(engine)
    assert engine.scheduler.stats().prefixes == 0


def test_requests_without_reuse_leave_nothing_behind(engine: TorchEngine) -> None:
    engine.generate([Request.question("x", noise(1.0), options=sampled(1), reuse=False)])
    assert engine.scheduler.stats().prefixes == 0
    assert len(engine.runner._encoded) == 0


def test_a_handle_stands_for_its_clip(engine: TorchEngine) -> None:
    clip, options = noise(1.5), sampled(2)
    expected = engine.generate([Request.question("x", clip, options=options)])[0]
    engine.forget()
    handle = engine.encode(clip)
    assert (
        engine.generate([Request.question("x", handle, options=options)])[0].token_ids
        == expected.token_ids
    )


def test_a_short_clip_is_encoded_for_the_prompt_that_it_stands_in(engine: TorchEngine) -> None:
    """Beside a longer clip it meets that clip's padding (as in vLLM); alone it does not."""
    short, long = noise(0.3), noise(2.0, 1)
    alone = engine.encode(short)
    pair = Request.question("x", short, long, options=sampled(2))
    expected = engine.generate([pair])[0].token_ids
    kept = [
        one.features.embeds
        for one in engine.runner.encode(engine.prompts.prompt(pair).clips, keep=False)
    ]
    assert not torch.equal(kept[0], alone.features.embeds)
    assert torch.equal(engine.encode(short).features.embeds, alone.features.embeds)
    engine.forget()
    handles = [engine.encode(short), engine.encode(long)]
    by_handle = Request.question("x", *handles, options=sampled(2))
    assert engine.generate([by_handle])[0].token_ids == expected


def test_stream_pieces_join_to_the_text_and_hold_whole_characters(
    engine: TorchEngine, singles: list[Generation]
) -> None:
    for request, single in list(zip(mixed(), singles, strict=True))[:3]:
        pieces = list(engine.stream(request))
        assert "".join(pieces) == single.text
        assert all(pieces)


def test_a_stop_string_ends_the_answer_and_never_shows(engine: TorchEngine) -> None:
    options = GenerationOptions(max_new_tokens=40, temperature=1.0, seed=3)
    request = Request.question("x", noise(0.5), options=options)
    whole = engine.generate([request])[0].text
    stop = next(c for c in whole[3:] if c.isascii())
    cut = Request.question("x", noise(0.5), options=options.changed(stop=(stop,)))
    answer = engine.generate([cut])[0]
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop_string"
    assert "".join(engine.stream(cut)) == answer.text


def test_audio_ids_are_never_generated(engine: TorchEngine) -> None:
    logits = engine.runner.logits(torch.zeros(1, engine.model.config.hidden_size))
    audio_ids = sorted(engine.processor.prompt_spec.audio_ids)
    assert torch.isneginf(logits[0, audio_ids]).all()
    assert torch.isneginf(logits).sum() == len(audio_ids)


def test_thinking_opens_a_block_and_its_budget_closes_it(engine: TorchEngine) -> None:
    options = GenerationOptions(
        max_new_tokens=150, temperature=1.5, seed=1, thinking=True, thinking_budget=5
    )
    answer = engine.generate([Request.question("x", noise(0.5), options=options)])[0]
    start = engine.tokenizer.convert_tokens_to_ids("<think>")
    end = engine.tokenizer.convert_tokens_to_ids("</think>")
    assert answer.token_ids[0] == start
    assert end in answer.token_ids
    think = engine.prompts.think
    assert think is not None
    closing_at = answer.token_ids.index(end)
    # the opening and at most the budget come before the transition
    assert closing_at <= len(think.opening) + 5 + len(think.closing)
    assert answer.text.startswith("<think>\n")


def test_a_checkpoint_without_think_tokens_says_so(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.prompts, "think", None)
    for options in (GenerationOptions(thinking=True), GenerationOptions(thinking_budget=3)):
        with pytest.raises(MossAudioError, match="no <think> tokens"):
            engine.generate([Request.question("x", options=options)])
    plain = GenerationOptions(max_new_tokens=2)
    off = plain.changed(thinking=False)
    same = [engine.check(Request.question("x", options=o)) for o in (plain, off)]
    assert same[0] == same[1], "there is nothing to switch off"


def test_an_endless_answer_is_ended_where_asked(engine: TorchEngine) -> None:
    row = engine.row(
        engine.prompts.prompt(
            Request.question(
                "x", options=GenerationOptions(max_new_tokens=500, stop_repetition=True)
            )
        ),
        0,
    )
    for token in range(10, 20):
        row.push(token)
    while row.finish_reason is None:
        row.push(30 + len(row.tokens) % 3)
    assert row.finish_reason == "repetition"
    assert len(row.tokens) < 120


@pytest.mark.parametrize(
    ("clip", "match"),
    [
        (np.zeros(100, np.float32), "too short"),
        (np.zeros((2, 3000), np.float32), "1-D"),
        ("talk.wav", "clip 0 is a str"),
    ],
)
def test_a_bad_clip_is_one_clear_error(engine: TorchEngine, clip: Any, match: str) -> None:
    with pytest.raises(AudioError, match=match):
        engine.generate([Request.question("x", clip)])


def test_a_prompt_beyond_the_positions_is_refused_and_an_answer_clipped(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = engine.check(Request.question("x", noise(0.5)))
    monkeypatch.setattr(engine.prompts, "max_positions", used + 2)
    answer = engine.generate([Request.question("x", noise(0.5), options=sampled(1))])[0]
    assert len(answer.token_ids) <= 2
    monkeypatch.setattr(engine.prompts, "max_positions", used)
    with pytest.raises(PromptError, match="shorten"):
        engine.generate([Request.question("x", noise(0.5))])


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_k": -1},
        {"seed": 1.5},
        {"stop": ("",)},
        {"stop": 3},
        {"thinking": "yes"},
        {"thinking": 0},
        {"thinking": 1.0},
        {"thinking": np.eye(2)},
        {"thinking_budget": -1},
        {"num_return_sequences": 0},
    ],
)
def test_an_impossible_option_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(MossAudioError, match=next(iter(options))) as found:
        GenerationOptions(**options)
    assert "\n" not in str(found.value)


def test_an_unknown_option_lists_those_there_are() -> None:
    with pytest.raises(MossAudioError, match=r"'temprature'.*temperature"):
        GenerationOptions().changed(temprature=1)


def test_devices_and_dtypes() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype(torch.device("cpu"), "bf16") == torch.bfloat16
    assert choose_dtype(torch.device("mps")) == torch.float16
    assert choose_dtype(torch.device("cpu")) in (torch.bfloat16, torch.float32)
    with pytest.raises(MossAudioError, match="warp"):
        choose_device("warp")
    with pytest.raises(MossAudioError, match="int4"):
        choose_dtype(torch.device("cpu"), "int4")


@pytest.mark.parametrize(
    ("native", "fast"),
    [("avx512_bf16", "bfloat16"), ("bf16", "bfloat16"), ("avx2", "float32")],
)
def test_inference_and_training_agree_on_the_fast_dtype(
    native: str, fast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arm's bf16 was known to training alone: a run computed in another type than its result."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {native: True}, raising=False)
    assert choose_dtype(torch.device("cpu")) == getattr(torch, fast)
    assert training_dtype("cpu") == getattr(torch, fast)
    assert training_dtype("mps") == torch.float32


def _settle(engine: TorchEngine) -> None:
    """Wait until the engine's thread has followed what it was told."""
    engine.scheduler.call(lambda: None)


def _forbid_encoding(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Callable[..., None]:
        raise AssertionError("the clip was encoded again")

    monkeypatch.setattr(engine.model, "encode_audio", refuse)


def test_importing_the_protocol_brings_in_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, moss_audio.engine; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_answer_that_is_begun_goes_on_as_it_did(engine: TorchEngine) -> None:
    clip, options = noise(2.0), GenerationOptions(max_new_tokens=24)
    whole = engine.generate([Request.question("What?", clip, options=options)])[0]
    vocabulary = ChatVocabulary(engine.tokenizer)
    texts = [engine.tokenizer.decode(whole.token_ids[:n]) for n in range(24)]
    places = [
        n
        for n, text in enumerate(texts)
        if text and vocabulary.encode_plain(text.lstrip()) == list(whole.token_ids[:n])
    ]
    assert places
    for place in (places[0], places[-1]):
        asked = Request.question("What?", clip, options=options.changed(max_new_tokens=24 - place))
        said = {"role": "assistant", "content": texts[place]}
        again = replace(asked, messages=[*asked.messages, said], continues=True)
        assert engine.generate([again])[0].token_ids == whole.token_ids[place:]


def test_a_thought_that_is_begun_keeps_to_its_budget(engine: TorchEngine) -> None:
    think = engine.prompts.think
    assert think is not None
    for budget in (0, 3):
        options = GenerationOptions(max_new_tokens=120, thinking_budget=budget)
        asked = Request.question("Why?", noise(1.0), options=options)
        said = {"role": "assistant", "content": "<think>\n"}
        again = replace(asked, messages=[*asked.messages, said], continues=True)
        ids = engine.generate([again])[0].token_ids
        assert ids[budget : budget + len(think.closing)] == think.closing
    with pytest.raises(MossAudioError, match="is begun"):
        replace(again, options=options.changed(thinking=True))
