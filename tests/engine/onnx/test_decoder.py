"""The decoder's graph, its keys and values, beside transformers' layers of the same weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.engine.onnx.kv import OnnxCache
from moss_audio.engine.onnx.runner import OnnxRunner
from moss_audio.engine.onnx.source import InBits
from moss_audio.engine.onnx.weights import Linear
from moss_audio.engine.prompts import EncodedClip
from moss_audio.engine.runner import AudioRows, ClipRows, Piece
from moss_audio.errors import CheckpointError
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.sizes import ModelSizes

VOCABULARY = 250
CASES = {
    "qwen3": {"num_attention_heads": 6, "num_key_value_heads": 3},
    "qwen3-wide-heads": {"head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1},
    "llama": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 4},
    "llama-tied": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2},
}


class StateSource:
    """`WeightSource` of a model in memory."""

    def __init__(self, model: MossAudioModel) -> None:
        self._state = {name: tensor.float() for name, tensor in model.state_dict().items()}

    def array(self, name: str) -> np.ndarray:
        out: np.ndarray = self._state[name].numpy()
        return out

    def rows_beyond(self) -> list[np.ndarray]:
        return []

    def linear(self, name: str) -> Linear:
        bias = name.removesuffix("weight") + "bias"
        return Linear(self.array(name), bias=self.array(bias) if bias in self._state else None)


class Pair:
    """The same model on torch and on ONNX Runtime."""

    def __init__(self, case: str) -> None:
        torch.manual_seed(len(case))
        values = preset("micro", tie_word_embeddings=case.endswith("-tied")).to_dict()
        language = {"head_dim": 16, **CASES[case], "vocab_size": VOCABULARY, "hidden_size": 64}
        values["language_config"] |= {"model_type": "qwen3", **language}
        ids = {"audio_token_id": 247, "audio_start_id": 248, "audio_end_id": 249}
        config = MossAudioConfig.from_dict({**values, **ids})
        self.model = MossAudioModel(config).float().eval()
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                if weight.ndim > 1:
                    weight.mul_(4)
                elif "norm" in name:
                    weight.uniform_(0.5, 1.5)
        self.sizes = ModelSizes.read(self.model.config.to_dict())
        self.source = StateSource(self.model)
        self.runner = OnnxRunner(self.sizes, self.source, threads=1, bits=32)

    @torch.inference_mode()
    def expected(self, ids: Sequence[int], **audio: object) -> np.ndarray:
        hidden = self.model.hidden_states(input_ids=torch.tensor([list(ids)]), **audio)
        logits = self.model.lm_head(hidden.last_hidden_state[0]).numpy()
        logits[:, 247:] = -np.inf
        return logits

    def feed(self, cache: OnnxCache, ids: Sequence[int]) -> np.ndarray:
        (logits,) = self.runner.forward([(cache, Piece(ids, all_logits=True))])
        return np.stack([logits.row(place) for place in range(len(ids))])


@pytest.fixture(scope="module", params=list(CASES))
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


@pytest.fixture(scope="module")
def llama() -> Pair:
    return Pair("llama-tied")


def _ids(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 240, n).tolist()


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 37])
def test_logits_are_those_of_transformers_layers(pair: Pair, n: int) -> None:
    ids = _ids(n)
    found = pair.feed(pair.runner.cache(), ids)
    _close(found, pair.expected(ids))
    assert np.ptp(found[:, :247], axis=1).min() > 1  # it says something


def test_audio_stands_in_for_embeddings_and_is_added_to_layers(pair: Pair) -> None:
    rng = np.random.default_rng(3)
    ids = _ids(12)
    mask = [3 <= place < 9 for place in range(12)]
    rows = [rng.normal(size=(8, 64)).astype(np.float32) for _ in range(4)]
    features = AudioFeatures(
        torch.from_numpy(rows[0][1:7]), tuple(torch.from_numpy(r[1:7]) for r in rows[1:]), (6,)
    )
    expected = pair.expected(ids, audio_features=features, audio_input_mask=torch.tensor([mask]))
    encoded = AudioFeatures(rows[0], tuple(rows[1:]), (8,))  # type: ignore[arg-type]
    clip = EncodedClip("clip", 8, encoded, 0, 0, 0, None)
    audio = AudioRows(mask, (ClipRows(clip, 1, 3), ClipRows(clip, 3, 7)))
    cache = pair.runner.cache()
    (logits,) = pair.runner.forward([(cache, Piece(ids, audio))])
    _close(logits.row(), expected[-1])
    (step,) = pair.runner.forward([(cache, Piece([5]))])
    more = pair.expected(
        [*ids, 5], audio_features=features, audio_input_mask=torch.tensor([[*mask, False]])
    )
    _close(step.row(), more[-1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 1000))
def test_a_prompt_in_pieces_is_the_prompt_in_one(
    llama: Pair, lengths: list[int], seed: int
) -> None:
    ids = _ids(sum(lengths), seed)
    whole = llama.feed(llama.runner.cache(), ids)
    cache, first = llama.runner.cache(), 0
    for length in lengths:
        _close(llama.feed(cache, ids[first : first + length]), whole[first : first + length])
        first += length
    assert cache.length == len(ids)


ACTIONS = st.tuples(st.sampled_from(["step", "new", "fork", "crop", "close", "long"]), st.randoms())


@settings(max_examples=30, deadline=None)
@given(st.lists(ACTIONS, min_size=5, max_size=40))
def test_sequences_that_join_leave_fork_and_shrink_say_what_they_say_alone(
    llama: Pair, actions: list[tuple[str, object]]
) -> None:
    """Rows lie in one memory, which moves when one leaves or the room is full."""
    runner = llama.runner
    live: list[tuple[OnnxCache, list[int]]] = []

    def feed(places: Sequence[int], pieces: Sequence[list[int]]) -> None:
        batch = [(live[i][0], Piece(ids)) for i, ids in zip(places, pieces, strict=True)]
        found = runner.forward(batch)
        for i, ids, logits in zip(places, pieces, found, strict=True):
            live[i][1].extend(ids)
            _close(logits.row(), llama.expected(live[i][1])[-1])
            assert logits.argmax() == [int(logits.row().argmax())]
            assert live[i][0].length == len(live[i][1])

    for action, random in actions:
        token = lambda: random.randrange(240)  # noqa: E731, B023
        if action == "new" or not live:
            live.append((runner.cache(), []))
            feed([len(live) - 1], [[token() for _ in range(random.randint(1, 30))]])
            continue
        one = random.randrange(len(live))
        cache, ids = live[one]
        if action == "step":
            places = random.sample(range(len(live)), random.randint(1, len(live)))
            feed(places, [[token()] for _ in places])
        elif action == "long":  # one has much to say while the others have a token
            many = [token() for _ in range(random.choice([3, 300]))]
            feed(range(len(live)), [many if i == one else [token()] for i in range(len(live))])
        elif action == "fork":
            live.append((cache.fork(), list(ids)))
        elif action == "crop" and len(ids) > 1:
            length = random.randrange(1, len(ids))
            cache.crop(length)
            del ids[length:]
        elif action == "close":
            cache.close()
            live.pop(one)
    for cache, _ in live:
        cache.close()


def test_a_step_writes_one_position_of_each_row_in_place(llama: Pair) -> None:
    caches = [llama.runner.cache() for _ in range(3)]
    for n, cache in enumerate(caches):
        llama.feed(cache, _ids(5 + n))
    llama.runner.forward([(cache, Piece([7])) for cache in caches])
    rooms = {id(cache.room) for cache in caches}
    room = caches[0].room
    assert room is not None
    assert len(rooms) == 1
    before = room.values.copy()
    llama.runner.forward([(cache, Piece([8])) for cache in caches])
    assert {id(cache.room) for cache in caches} == rooms
    changed = (room.values != before).any(axis=(0, 2, 4))  # [slots, positions]
    assert changed.sum() == 3
    for cache in caches:
        assert changed[cache.slot, cache.length - 1]


def test_no_memory_stays_when_all_sequences_are_over(llama: Pair) -> None:
    caches = [llama.runner.cache() for _ in range(3)]
    for cache in caches:
        llama.feed(cache, _ids(5))
    llama.runner.forward([(cache, Piece([7])) for cache in caches])
    assert caches[0].room is not None
    room = ref(caches[0].room)
    for cache in caches[:2]:
        cache.close()
    assert room() is not None
    caches[2].close()
    assert room() is None


def test_a_forked_process_has_keys_and_values_of_its_own(llama: Pair) -> None:
    """What it decodes must not be written into what its parent is decoding."""
    caches = [llama.runner.cache() for _ in range(2)]
    for cache in caches:
        llama.feed(cache, _ids(5))
    llama.runner.forward([(cache, Piece([7])) for cache in caches])
    room = caches[0].room
    assert room is not None
    before = room.values.copy()
    child = os.fork()
    if child == 0:
        try:
            llama.runner.forward([(cache, Piece([8])) for cache in caches])
            os._exit(0 if (room.values != before).any() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(room.values, before)


def test_scaled_rotary_positions_are_refused(llama: Pair) -> None:
    """torch has them; here they would be taken for plain ones."""
    scaled = replace(llama.sizes, decoder=replace(llama.sizes.decoder, rope_type="yarn"))
    with pytest.raises(CheckpointError, match=r"'yarn'.*engine='torch'"):
        OnnxRunner(scaled, llama.source, threads=1, bits=32)


def test_logits_of_eight_bits_are_close(pair: Pair) -> None:
    runner = OnnxRunner(pair.sizes, InBits(pair.source, 8), threads=1, bits=8)
    ids = _ids(20)
    (logits,) = runner.forward([(runner.cache(), Piece(ids))])
    found, expected = logits.row()[:247], pair.expected(ids)[-1, :247]
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    assert "8 bits" in runner.description
