"""Whoever else is there, an answer is that of the request alone, and nothing of it stays."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.engine import Generation, GenerationOptions, Request
from moss_audio.engine.fair import FairQueue
from moss_audio.engine.handle import Handle
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.runner import Piece
from moss_audio.errors import MossAudioError
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import build_engine, noise
from tests.engine.fake_runner import (
    END,
    LETTERS,
    TOKENIZER,
    FakeCache,
    FakeRunner,
    question_with_long_answer,
)

CLIPS = [noise(seconds, seed) for seed, seconds in enumerate((0.1, 0.5, 1.3, 2.4))]


def build(runner: FakeRunner | None = None, **options: Any) -> tuple[LocalEngine, FakeRunner]:
    runner = runner or FakeRunner()
    return LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), **options), runner


def drawn(rng: random.Random, most_tokens: int = 30) -> Request:
    """A request of any kind."""
    beams = rng.choice([1, 1, 1, 3])
    options = GenerationOptions(
        max_new_tokens=rng.randrange(1, most_tokens),
        temperature=rng.choice([0.0, 0.0, 1.0]) if beams == 1 else 0.0,
        seed=rng.randrange(3),
        num_beams=beams,
        num_return_sequences=rng.choice([1, 1, 1, 2, 6 if beams == 1 else 3]),
        logprobs=rng.choice([None, None, 2]),
        stop=rng.choice([(), (), ("ab",)]),
    )
    return Request.question(
        "".join(rng.choice("uvw ") for _ in range(rng.choice([1, 3, 40]))),
        *rng.sample(CLIPS, rng.choice([0, 1, 1, 1, 2])),
        options=options,
        reuse=rng.random() < 0.5,
    )


def lone(request: Request, make: Callable[[], LocalEngine]) -> Generation:
    engine = make()
    try:
        return engine.generate([request])[0]
    finally:
        engine.close()


def with_company(rng: random.Random, request: Request) -> Request:
    """The same request as others may make it: what must not change its answer."""
    return Request(
        request.messages,
        request.clips,
        request.options,
        request.reuse,
        priority=rng.randrange(-2, 3),
        key=rng.choice("xyz"),
        draft="".join(rng.choice("abcdefgh") for _ in range(rng.choice([0, 0, 1, 5]))),
    )


def nothing_left(engine: LocalEngine) -> tuple[int, ...]:
    engine.forget()
    state = engine.scheduler.stats()
    return state.waiting, state.filling, state.rows, state.prefixes


def storm(
    engine: LocalEngine, expected: Sequence[tuple[Request, Generation]], seed: int, n: int
) -> int:
    """`n` arrivals from 16 threads, a tenth of which are cancelled at some time; how many were."""

    def one(number: int) -> bool:
        rng = random.Random(1000 * seed + number)
        request, answer = rng.choice(expected)
        pieces = request.options.num_return_sequences == 1 and rng.random() < 0.3
        handle = engine.submit(with_company(rng, request), pieces=pieces)
        if rng.random() < 0.1:
            threading.Event().wait(rng.random() * 0.01)
            handle.cancel()
        try:
            said = "".join(handle) if pieces else None
            found = handle.result(300)
        except CancelledError:
            return True
        assert found == answer
        assert said in (None, answer.text)
        return False

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(one, range(n)))


def test_a_thousand_arrivals_from_sixteen_threads() -> None:
    rng = random.Random(0)
    requests = [drawn(rng) for _ in range(100)]
    expected = [(one, lone(one, lambda: build()[0])) for one in requests]
    assert len({answer.token_ids for _, answer in expected}) > 60, "answers should vary"
    engine, runner = build()
    cancelled = storm(engine, expected, 1, 1000)
    assert 0 < cancelled <= 200
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert not runner.caches
    state = engine.scheduler.stats()
    assert (state.finished, state.cancelled, state.failed) == (1000 - cancelled, cancelled, 0)
    assert max(len(one) for one in runner.passes if max(one) == 1) <= 2 * runner.max_rows


def test_a_thousand_arrivals_at_a_model() -> None:
    """Float32 and greedy: token for token."""
    rng = random.Random(5)
    requests = []
    for seed in range(24):
        options = GenerationOptions(max_new_tokens=rng.randrange(1, 9))
        clips = rng.sample(CLIPS, rng.choice([0, 1, 1, 2]))
        requests.append(Request.question("so" * (1 + seed), *clips, options=options))
    engine = build_engine(batch_size=6, batch_tokens=1200)
    engine.runner.prefill_tokens = 24
    expected = []
    for request in requests:
        engine.forget()
        expected.append((request, engine.generate([request])[0]))
    assert len({answer.token_ids for _, answer in expected}) > 12, "answers should vary"
    cancelled = storm(engine, expected, 2, 1000)
    assert 0 < cancelled <= 200
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert engine.runner._decoding is None or not engine.runner._decoding.cache.layers


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 5), st.integers(1, 40))
def test_any_requests_any_limits(seed: int, n: int, max_rows: int, chunk: int) -> None:
    rng = random.Random(seed)
    requests = [drawn(rng, 12) for _ in range(n)]
    runner = FakeRunner()
    runner.prefill_tokens = chunk
    engine, _ = build(runner, batch_size=max_rows, batch_tokens=rng.choice([1, 100, 400]))
    answers = engine.generate([with_company(rng, one) for one in requests])
    for request, answer in zip(requests, answers, strict=True):
        assert answer == lone(request, lambda: build()[0])
    # (a search of three beams runs by itself also where there is one place)
    widest = max((len(one) for one in runner.passes if max(one) == 1), default=0)
    assert widest <= max(2 * max_rows, 3)
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert not runner.caches
    engine.close()


class Endless(FakeRunner):
    """Says "a" for ever."""

    max_positions = 100_000

    def next_id(self, held: list[object]) -> int:
        return LETTERS[0]


def asked(letter: str, **options: Any) -> Request:
    return Request.question(letter, options=GenerationOptions(**options))


def letters(batch: Sequence[tuple[FakeCache, Piece]]) -> set[str]:
    """Whose rows a pass decodes, by the letter that they asked."""
    found = set()
    for cache, piece in batch:
        if len(piece.ids) == 1 and cache.held:
            text = TOKENIZER.decode([one for one in cache.held if isinstance(one, int)])
            found.add(text.split("user\n")[1][0])
    return found


def test_a_cancelled_request_frees_its_row_within_one_step() -> None:
    runner = Endless()
    engine, _ = build(runner)
    seen: list[set[str]] = []
    handles: dict[str, Handle] = {}
    cancelled_at = {}

    def watch(batch: Sequence[tuple[FakeCache, Piece]]) -> None:
        now = letters(batch)
        if now:
            seen.append(now)
        for letter, step in (("u", 20), ("v", 35)):
            if len(seen) == step and letter not in cancelled_at:
                cancelled_at[letter] = step
                handles[letter].cancel()

    ready = threading.Event()
    runner.watch = lambda batch: ready.wait(60) and None
    for letter in "uvw":
        handles[letter] = engine.submit(asked(letter, max_new_tokens=60))
    runner.watch = watch
    ready.set()
    assert len(handles["w"].result(60).token_ids) == 60
    for letter in "uv":
        with pytest.raises(CancelledError):
            handles[letter].result(60)
        after = seen[cancelled_at[letter] :]
        assert not any(letter in now for now in after)
    assert cancelled_at == {"u": 20, "v": 35}
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert not runner.caches


def answered(engine: LocalEngine, runner: FakeRunner, requests: Sequence[Request]) -> list[int]:
    """The order in which requests that wait together are answered."""
    ready = threading.Event()
    runner.watch = lambda batch: ready.wait(60) and None
    first = engine.submit(asked("z", max_new_tokens=1))
    order: list[int] = []
    handles = []
    for index, request in enumerate(requests):
        handles.append(engine.submit(request))
        handles[-1].add_done_callback(lambda index=index: order.append(index))  # type: ignore[misc]
    ready.set()
    for handle in (first, *handles):
        handle.result(60)
    return order


def test_the_highest_priority_goes_first() -> None:
    runner = Endless()
    engine, _ = build(runner, batch_size=1)
    options = GenerationOptions(max_new_tokens=3)
    requests = [Request.question("x", options=options, reuse=False) for _ in range(6)]
    ranked = [
        Request(one.messages, options=options, priority=priority)
        for one, priority in zip(requests, (0, 2, 1, 2, 0, 1), strict=True)
    ]
    assert answered(engine, runner, ranked) == [1, 3, 2, 5, 0, 4]


def test_what_has_time_rests_while_somebody_waits() -> None:
    """Windows of a long file have most places; a live turn needs none of theirs to end."""
    runner = Endless()
    runner.prefill_tokens = 64
    engine, _ = build(runner, batch_size=4, batch_tokens=10_000)
    seen: list[set[str]] = []
    began: list[int] = []

    def watch(batch: Sequence[tuple[FakeCache, Piece]]) -> None:
        seen.append({letter for cache, _ in batch for letter in cache.held[:40] if letter in told})
        for _, piece in batch:
            if len(piece.ids) > 1 and not began:
                parts.append(len(piece.ids))
        if len(seen) == 60:
            urgent.append(engine.submit(replace(asked("w", max_new_tokens=9), priority=1)))
            began.append(len(seen))

    told = {TOKENIZER.encode(one, add_special_tokens=False)[0] for one in "vw"}
    letter_w = TOKENIZER.encode("w", add_special_tokens=False)[0]
    parts: list[int] = []
    urgent: list[Handle] = []
    runner.watch = watch
    windows = [
        engine.submit(replace(asked("v" * 30, max_new_tokens=80), priority=-1)) for _ in range(9)
    ]
    for handle in windows:
        assert len(handle.result(60).token_ids) == 80
    assert len(urgent[0].result(60).token_ids) == 9
    own = [place for place, held in enumerate(seen) if letter_w in held]
    assert own[0] <= began[0] + 3  # the step that goes on, its prompt, its second token
    assert own == list(range(own[0], own[0] + 8)), "it was kept waiting"
    assert all(seen[place] == {letter_w} for place in own), "others were in its passes"
    assert max(parts) <= runner.part_tokens
    assert max(len(one) for one in runner.passes if max(one) == 1) <= 3  # of four places
    assert nothing_left(engine) == (0, 0, 0, 0)


def test_what_has_time_rests_until_it_is_known_whether_somebody_asks_on() -> None:
    """Between two requests of one who waits there is no pass of the others, nor any spinning."""
    runner = Endless()
    runner.prefill_tokens = 64
    engine, _ = build(runner, batch_size=4, batch_tokens=10_000)
    (letter_w,) = TOKENIZER.encode("w", add_special_tokens=False)
    seen: list[list[bool]] = []  # of each pass, which rows are of the one who waits
    first: SimpleQueue[Handle] = SimpleQueue()
    urgent = replace(asked("w", max_new_tokens=5), priority=1)

    def watch(batch: Sequence[tuple[FakeCache, Piece]]) -> None:
        seen.append([letter_w in (*cache.held[:40], *piece.ids) for cache, piece in batch])
        if len(seen) == 60:
            first.put(engine.submit(urgent))

    runner.watch = watch
    windows = [
        engine.submit(replace(asked("v" * 30, max_new_tokens=80), priority=-1)) for _ in range(9)
    ]
    answers = [first.get(timeout=60).result(60)]
    answers += [engine.submit(urgent).result(60) for _ in range(2)]
    steps = engine.scheduler.stats().steps
    assert [len(window.result(60).token_ids) for window in windows] == [80] * 9
    assert len({answer.token_ids for answer in answers}) == 1
    own = [place for place, waits in enumerate(seen) if any(waits)]
    assert all(all(seen[place]) for place in own), "others were in its passes"
    assert own == list(range(own[0], own[0] + len(own))), "a window came between two requests"
    assert steps < 2 * len(seen), "it span while all rested"


def test_what_somebody_waits_for_goes_first_even_where_there_is_no_room() -> None:
    runner = FakeRunner()
    engine, _ = build(runner, batch_size=4, batch_tokens=300)
    rng = random.Random(3)
    requests = [drawn(rng) for _ in range(30)]
    expected = [(one, lone(one, lambda: build()[0])) for one in requests]
    ranked = [replace(one, priority=rng.choice([-2, -1, 0, 1])) for one in requests]
    found = engine.generate(ranked)  # whatever rests goes on in the end
    assert found == [answer for _, answer in expected]
    assert not runner.caches or nothing_left(engine) == (0, 0, 0, 0)


def test_a_clip_is_encoded_in_parts_where_there_is_time() -> None:
    runner = FakeRunner()
    engine, _ = build(runner)
    long = noise(13.0, 5)
    request = Request.question("u", long, reuse=False)
    plain = engine.generate([request])
    whole = list(runner.encoded)
    assert engine.generate([replace(request, priority=-1)]) == plain
    assert runner.encoded == whole  # not at once


def test_a_long_prompt_and_short_ones_do_not_keep_each_other_waiting() -> None:
    """While somebody's answer is decoded there is one chunk a step for all prompts."""
    runner, go, order = Endless(), threading.Event(), []
    engine, _ = build(runner, batch_size=4, batch_tokens=100_000)
    decoded = engine.submit(asked("x", max_new_tokens=50_000), pieces=True)
    assert next(iter(decoded))
    runner.watch = lambda batch: go.wait(60) and None
    options = GenerationOptions(max_new_tokens=1)
    texts = ["u" * 640, *["v"] * 60]
    handles = [engine.submit(Request.question(text, options=options)) for text in texts]
    for index, handle in enumerate(handles):
        handle.add_done_callback(partial(order.append, index))
    go.set()
    for handle in handles:
        handle.result(60)
    assert set(order[:3]) == {1, 2, 3}, order
    assert order.index(0) < 58, order
    decoded.cancel()


def test_many_requests_of_one_key_do_not_keep_another_waiting() -> None:
    runner = Endless()
    engine, _ = build(runner, batch_size=1)
    options = GenerationOptions(max_new_tokens=10)
    message = Request.question("x").messages
    keys = ["many"] * 20 + ["few"] * 2
    order = answered(engine, runner, [Request(message, options=options, key=key) for key in keys])
    assert sorted(order) == list(range(22))
    assert {order.index(20), order.index(21)} <= {0, 1, 2, 3}, order
    assert [one for one in order if one < 20] == list(range(20))


@pytest.mark.parametrize("other", [{"key": "few"}, {"key": "many", "priority": 1}])
def test_who_asks_for_many_answers_does_not_keep_another_waiting_for_all(
    other: dict[str, Any],
) -> None:
    runner, go, order = Endless(), threading.Event(), []
    engine, _ = build(runner, batch_size=2)
    runner.watch = lambda batch: go.wait(60) and None
    many = GenerationOptions(max_new_tokens=5, num_return_sequences=40)
    message = asked("x").messages
    requests = [Request(message, options=many, key="many")]
    requests += [Request(message, options=GenerationOptions(max_new_tokens=5), **other)]
    handles = [engine.submit(request) for request in requests]
    for index, handle in enumerate(handles):
        handle.add_done_callback(partial(order.append, index))
    go.set()
    answers = [handle.result(60) for handle in handles]
    assert order == [1, 0]
    assert len(answers[0].alternatives) == 39


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), min_size=1, max_size=60))
def test_shares_are_fair_as_long_as_all_wait(items: list[tuple[str, int]]) -> None:
    """While keys wait together, none gets more than another by more than one request."""
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for item in items:
        queue.add(item, 0, item[0])
    got = dict.fromkeys("abc", 0)
    left = [key for key, _ in items]
    while len(queue):
        item = queue.pop()
        queue.charge(*item)
        got[item[0]] += item[1]
        left.remove(item[0])
        waiting = set(left)
        for key in waiting:
            assert got[item[0]] - item[1] <= got[key]


def test_a_key_that_was_away_comes_back_level() -> None:
    """No credit for having asked nothing: it would lock the others out."""
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        queue.add(f"a{number}", 0, "a")
    for _ in range(50):
        queue.pop()
        queue.charge("a", 10)
    for number in range(50):
        queue.add(f"b{number}", 0, "b")
    order = []
    for _ in range(20):
        order.append(queue.pop()[0])
        queue.charge(order[-1], 10)
    assert 9 <= order.count("a") <= 11


def test_equal_beginnings_are_computed_once() -> None:
    engine, runner = build()
    ready = threading.Event()
    runner.watch = lambda batch: ready.wait(60) and None
    handles = [
        engine.submit(Request.question(letter, CLIPS[3], reuse=False)) for letter in "stuvwxyz"
    ]
    ready.set()
    length = engine.prompts.prompt(Request.question("s", CLIPS[3])).prefix_length
    for handle in handles:
        handle.result(60)
    assert len(runner.encoded) == 1  # eight requests for four rows
    rest = len(engine.prompts.prompt(Request.question("s")).input_ids)
    assert engine.scheduler.stats().prompt_tokens < length + 8 * rest
    assert not runner.caches


class Failing(FakeRunner):
    """Cannot bear the letter q, nor the longest clip."""

    def encode(self, clips: Any, *, keep: bool) -> Any:
        if any(clip.n_tokens > 20 for clip in clips):
            raise MemoryError("clip")
        return super().encode(clips, keep=keep)

    def forward(self, batch: Any) -> Any:
        q = TOKENIZER.encode("q", add_special_tokens=False)[0]
        if any(q in (*cache.held, *piece.ids) for cache, piece in batch):
            raise ValueError("q")
        return super().forward(batch)


def test_an_exception_of_the_runner_reaches_those_whom_it_concerns() -> None:
    rng = random.Random(3)
    requests = [drawn(rng) for _ in range(30)]
    requests[4] = requests[11] = asked("q")
    requests[7] = Request.question("v", CLIPS[3])
    engine, runner = build(Failing())
    handles = [engine.submit(one) for one in requests]
    for request, handle in zip(requests, handles, strict=True):
        longest = max((len(clip) for clip in request.clips), default=0)
        expected: type[Exception] | None = None
        if longest == len(CLIPS[3]):
            expected = MemoryError
        elif request is requests[4]:
            expected = ValueError
        if expected is None:
            assert handle.result(60) == lone(request, lambda: build()[0])
        else:
            with pytest.raises(expected):
                handle.result(60)
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert not runner.caches
    with pytest.raises(ValueError, match="q"):
        engine.generate([asked("u"), asked("q"), asked("v", max_new_tokens=5)])
    assert nothing_left(engine) == (0, 0, 0, 0)


class Crowded(FakeRunner):
    """Has memory for one row at a time."""

    def forward(self, batch: Any) -> Any:
        if len(batch) > 1:
            raise MemoryError
        return super().forward(batch)


def test_rows_that_do_not_fit_together_are_tried_alone() -> None:
    rng = random.Random(4)
    requests = [drawn(rng) for _ in range(20)]
    engine, _ = build(Crowded())
    for request, answer in zip(requests, engine.generate(requests), strict=True):
        assert answer == lone(request, lambda: build()[0])


def test_a_right_guess_is_checked_in_one_pass_and_a_wrong_one_changes_nothing() -> None:
    engine, runner = build()
    plain, answer = question_with_long_answer(
        engine, CLIPS[1], GenerationOptions(max_new_tokens=12)
    )
    assert len(answer.text) > 5

    def passes(draft: str) -> int:
        runner.passes.clear()
        asked = Request(plain.messages, plain.clips, plain.options, draft=draft)
        assert engine.generate([asked])[0] == answer
        return len(runner.passes)

    whole = passes("")
    most = whole - len(answer.text) + 2
    runner.prefill_tokens = 100
    assert passes(answer.text) <= most
    assert passes(answer.text + "more") <= most
    runner.prefill_tokens = 16  # of a long guess so much is in one pass
    assert passes(answer.text) <= most + 1
    assert passes(answer.text[:3] + "z") == whole - 2
    assert passes("nothing like it") == whole


@settings(max_examples=40)
@given(st.data())
def test_drafts_of_any_kind_leave_a_models_answer_as_it_is(data: st.DataObject) -> None:
    """Tokens equal those of plain greedy decoding, alone and in company."""
    prompts = [("one", 0), ("two", 1), ("a third", 2)]
    requests, expected = [], []
    for text, clip in prompts:
        plain = Request.question(
            text, CLIPS[clip], options=GenerationOptions(max_new_tokens=16), reuse=False
        )
        answer = _plain(text, clip)
        cut = data.draw(st.integers(0, len(answer.text)))
        draft = answer.text[:cut] + data.draw(st.text(max_size=6))
        requests.append(Request(plain.messages, plain.clips, plain.options, False, draft=draft))
        expected.append(answer.token_ids)
    found = _MODEL.generate(requests)
    assert [one.token_ids for one in found] == expected
    assert [_MODEL.generate([one])[0].token_ids for one in requests] == expected


class Stamping(FakeRunner):
    """Writes words with times as a model does: mostly a word begins where the last one ended."""

    prefill_tokens = 100
    text = "[0.10]ab[0.42][0.42]c[1.07][1.07]d[12.34][13.34]ef[14.00][14.00]a[15.00]"
    ids = (*TOKENIZER.encode(text, add_special_tokens=False), END)

    def next_id(self, held: list[object]) -> int:
        """The token after as much of the answer as is there."""
        said = max(n for n in range(len(self.ids)) if tuple(held[len(held) - n :]) == self.ids[:n])
        return self.ids[said]


def test_a_word_is_guessed_to_begin_where_the_last_one_ended() -> None:
    """In one pass for a whole stamp, where the row is alone and the runner rounds alike."""
    runner = Stamping()
    engine, _ = build(runner)
    request = asked("x", max_new_tokens=200)
    assert engine.generate([request])[0].text == Stamping.text
    alone = len(runner.passes)
    runner.passes.clear()
    assert {one.text for one in engine.generate([request, request])} == {Stamping.text}
    assert max(sum(one) for one in runner.passes if sum(one) < 10) == 2, "none in company"
    other = Stamping()
    other.exact = False
    assert build(other)[0].generate([request])[0].text == Stamping.text
    pairs, right, tokens = 4, 3, 5  # "0.42]" are five tokens; "13.34" shares its first digit
    assert alone <= len(other.passes) - right * tokens
    assert len(other.passes) == len(Stamping.ids)
    assert pairs == Stamping.text.count("][")


_MODEL = build_engine(3)
_KNOWN: dict[tuple[str, int], Generation] = {}


def _plain(text: str, clip: int) -> Generation:
    if (text, clip) not in _KNOWN:
        options = GenerationOptions(max_new_tokens=16)
        _KNOWN[text, clip] = _MODEL.generate(
            [Request.question(text, CLIPS[clip], options=options)]
        )[0]
    return _KNOWN[text, clip]


def test_log_probabilities_are_the_models_own() -> None:
    """Beside those of transformers, and of the likeliest in each token's place."""
    import torch

    engine = build_engine(2)
    clip = noise(1.0)
    options = GenerationOptions(max_new_tokens=8, logprobs=3, temperature=1.0, seed=4)
    answer = engine.generate([Request.question("x", clip, options=options)])[0]
    assert answer.logprobs is not None
    inputs = engine.processor(text="x", audio=[clip])
    ids = torch.tensor([[*inputs["input_ids"][0].tolist(), *answer.token_ids]])
    mask = torch.nn.functional.pad(
        inputs["input_ids"] == engine.processor.prompt_spec.audio_token_id,
        (0, len(answer.token_ids)),
    )
    with torch.no_grad():
        logits = engine.model(
            input_ids=ids,
            audio_data=inputs["audio_data"],
            audio_data_seqlens=inputs["audio_data_seqlens"],
            audio_input_mask=mask,
        ).logits[0]
    logits[:, sorted(engine.processor.prompt_spec.audio_ids)] = -torch.inf
    exact = logits[inputs["input_ids"].shape[1] - 1 : -1].log_softmax(-1).numpy()
    assert [one.token_id for one in answer.logprobs] == list(answer.token_ids)
    for place, one in enumerate(answer.logprobs):
        assert one.logprob == pytest.approx(float(exact[place][one.token_id]), abs=1e-3)
        best = np.argsort(-exact[place])[:3].tolist()
        assert [token for token, _ in one.top] == best
        assert [value for _, value in one.top] == pytest.approx(exact[place][best], abs=1e-3)
    assert answer.logprobs[-1].end <= len(answer.text)
    assert engine.generate([Request.question("x", clip)])[0].logprobs is None


def test_nobody_waits_for_an_engine_that_ends_meanwhile() -> None:
    """What comes before the end raises or is answered, what comes after it is refused."""
    for _ in range(20):
        engine, _ = build()
        handles: list[Handle] = []

        def ask_on(engine: LocalEngine = engine, handles: list[Handle] = handles) -> None:
            while True:
                handles.append(engine.submit(asked("u", max_new_tokens=3)))

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask_on) for _ in range(4)]
            while len(handles) < 8:
                threading.Event().wait(0.001)
            engine.close()
            for one in asking:
                with pytest.raises(MossAudioError, match="closed"):
                    one.result(60)
        for handle in handles:
            with contextlib.suppress(MossAudioError):  # never TimeoutError
                assert handle.result(60).prompt_tokens


def test_what_runs_at_exit_after_the_threads_is_refused() -> None:
    """Not waited for: nobody would answer it."""
    engine, _ = build()
    engine.generate([asked("u")])
    engine.scheduler._loop.end()  # as `_end_threads` does at the end of the interpreter
    engine.scheduler._loop.join(20)
    with pytest.raises(MossAudioError, match="closed"):
        engine.generate([asked("u")])
    with pytest.raises(MossAudioError, match="closed"):
        engine.forget()


def test_a_guess_goes_no_further_than_its_answer_may() -> None:
    """Neither beyond its bound nor beyond the positions that the model has."""
    runner = Endless()
    runner.max_positions, runner.prefill_tokens = 60, 50
    engine, _ = build(runner)
    longest = 0

    def watch(batch: Sequence[tuple[FakeCache, Piece]]) -> None:
        nonlocal longest
        longest = max(longest, *(cache.length + len(piece.ids) for cache, piece in batch))

    runner.watch = watch
    for bound in (5, 1000):
        plain = asked("u", max_new_tokens=bound)
        request = Request(plain.messages, options=plain.options, draft="a" * 200)
        positions = engine.check(request)
        found = engine.generate([request])[0]
        assert found.finish_reason == "length"
        assert len(found.token_ids) == min(bound, 60 - positions)
        assert longest == positions + len(found.token_ids) - 1
        longest = 0


def test_keys_that_come_once_are_not_remembered_for_ever() -> None:
    fair: FairQueue[int] = FairQueue()
    for number in range(10_000):
        fair.add(number, 0, f"user {number}")
        assert fair.pop() == number
        fair.charge(f"user {number}", 100)
    assert len(fair._got) < 2000


def test_pieces_are_given_once_and_end_for_everybody() -> None:
    engine, _ = build()
    handle = engine.submit(asked("u", max_new_tokens=5), pieces=True)
    assert "".join(handle) == handle.result().text
    assert list(handle) == []


def test_an_interrupt_while_a_session_is_opened_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it comes when the clip is computed already."""
    engine, runner = build()
    waited = Handle.result

    def interrupted(handle: Handle, timeout_s: float | None = None) -> Generation:
        waited(handle, timeout_s)
        raise KeyboardInterrupt

    monkeypatch.setattr(Handle, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.open(CLIPS[1])
    assert nothing_left(engine) == (0, 0, 0, 0)
    assert not runner.caches


@pytest.mark.parametrize("wrong", [{"priority": "high"}, {"key": None}, {"draft": ["a"]}])
def test_what_cannot_be_queued_is_refused_before_it_is(wrong: dict[str, Any]) -> None:
    """In the queue it would stop everybody."""
    plain = asked("u")
    with pytest.raises(MossAudioError, match=next(iter(wrong))):
        Request(plain.messages, **wrong)
