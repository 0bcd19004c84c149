"""The remote engine against vLLM's own server: the text of the engine here, errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moss_audio.endpoint import EndpointError, EndpointRefusedError
from moss_audio.engine.base import Generation, GenerationOptions, Request
from moss_audio.engine.remote import RemoteEngine
from moss_audio.engine.served import ServedCheckpoint
from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.errors import CheckpointError
from tests.interop import checkpoints
from tests.interop.conftest import running_vllm

pytestmark = pytest.mark.interop


def _ask(text: str, *seconds: float, **options: object) -> Request:
    clips = [checkpoints.clip(one, seed) for seed, one in enumerate(seconds, len(text))]
    chosen = GenerationOptions(**{"max_new_tokens": 32, **options})  # type: ignore[arg-type]
    return Request.question(text, *clips, options=chosen)


# vLLM pads the clips that it encodes in one step to the longest: one shorter than a chunk of 4 s
# depends on its neighbours there, and is asked about alone.
TOGETHER = [
    *(_ask(f"What is heard in {s:g} s?", s) for s in (3.99, 4.0, 4.05, 5.5, 7.0, 9.4, 12.3, 33.0)),
    *(_ask("Compare the clips.", *pair) for pair in ((4.0, 33.0), (9.4, 4.05))),
    _ask("Say 12 words."),
    _ask("Which sounds are there, and when?", 6.0, thinking=False),
    _ask("Think first.", 6.0, thinking=True),
    _ask("Think a little.", 6.0, thinking=True, thinking_budget=6),
    _ask("And at length?", 8.0, max_new_tokens=300, stop_repetition=True),
    _ask("How likely?", 4.5, logprobs=2),
]  # fmt: skip
ALONE = [*(_ask("Short.", s) for s in (0.01, 0.3, 2.5)), _ask("Two.", 2.0, 0.3)]
Twins = tuple[TorchEngine, ServedCheckpoint]


@pytest.fixture(scope="module")
def twins(
    folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    """The same checkpoint here and behind vLLM's server."""
    pytest.importorskip("vllm", reason="run `make test-interop`")
    from moss_audio.model.modeling import MossAudioModel
    from moss_audio.model.processing import MossAudioProcessor

    folder = folders("plain")
    with running_vllm(folder, tmp_path_factory.mktemp("vllm-server")) as served:
        model = MossAudioModel.from_pretrained(folder).eval()
        yield TorchEngine(model, MossAudioProcessor.from_pretrained(folder)), served


def _plain(answer: Generation) -> Generation:
    """An answer without what two implementations count or round in ways of their own."""
    return replace(answer, prompt_tokens=0, logprobs=None)


def test_the_server_says_what_it_serves(twins: Twins) -> None:
    _, served = twins
    assert (served.endpoint.model, served.max_positions) == ("moss-audio", 2048)
    assert Path(served.root, "config.json").is_file()


def test_twenty_asks_get_the_same_text(twins: Twins) -> None:
    here, served = twins
    assert len(TOGETHER) + len(ALONE) == 20
    answers = RemoteEngine(served).generate(TOGETHER)
    answers += RemoteEngine(served, batch_size=1).generate(ALONE)
    for asked, theirs in zip([*TOGETHER, *ALONE], answers, strict=True):
        ours = here.generate([asked])[0]
        thinks = asked.options.thinking is True  # words that we put in are no tokens of the server
        if thinks:
            assert theirs.text.startswith(ours.text)
        else:
            assert _plain(theirs) == _plain(ours)
            assert theirs.prompt_tokens == ours.prompt_tokens


def test_log_probabilities_agree(twins: Twins) -> None:
    here, served = twins
    asked = _ask("How likely?", 4.5, logprobs=3)
    ours, theirs = (one.generate([asked])[0].logprobs for one in (here, RemoteEngine(served)))
    assert ours
    assert theirs
    for one, other in zip(ours, theirs, strict=True):
        assert (one.token_id, one.end) == (other.token_id, other.end)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [each for each, _ in one.top] == [each for each, _ in other.top][: len(one.top)]


def test_a_stream_is_the_answer_in_pieces(twins: Twins) -> None:
    here, served = twins
    pieces = list(RemoteEngine(served).stream(TOGETHER[0]))
    assert len(pieces) > 4
    assert "".join(pieces) == here.generate([TOGETHER[0]])[0].text


def test_a_stop_string_ends_it(twins: Twins) -> None:
    here, served = twins
    whole = here.generate([TOGETHER[1]])[0].text
    stopped = replace(TOGETHER[1], options=GenerationOptions(stop=(whole[40:44],)))
    ours, theirs = (one.generate([stopped])[0] for one in (here, RemoteEngine(served)))
    assert ours.finish_reason == "stop_string"
    assert _plain(theirs) == _plain(ours)


def test_sampled_answers_repeat_with_their_seed(twins: Twins) -> None:
    engine = RemoteEngine(twins[1])
    asked = _ask("Say 12 words.", temperature=1.0, top_k=50, seed=3, num_return_sequences=2)
    first, again = engine.generate([asked])[0], engine.generate([asked])[0]
    assert first == again
    assert first.text != first.alternatives[0].text


@pytest.mark.parametrize(
    ("asked", "said"),
    [(_ask("x " * 5000), r"refused \(400: .*maximum context length is 2048"),
     (_ask("Three?", 1.0, 1.0, 1.0), r"refused \(400: At most 2 audio")],
)  # fmt: skip
def test_what_vllm_refuses_is_one_line_in_its_words(
    twins: Twins, asked: Request, said: str
) -> None:
    with pytest.raises(EndpointError, match=said) as error:
        RemoteEngine(twins[1]).generate([asked])
    assert "\n" not in str(error.value)


def test_a_model_that_vllm_does_not_serve(twins: Twins) -> None:
    endpoint = twins[1].endpoint
    with pytest.raises(CheckpointError, match="'other' is not served there; served: 'moss-audio'"):
        ServedCheckpoint.open(endpoint.url, "other")
    client = replace(endpoint, model="other").connect("A test")
    with pytest.raises(EndpointRefusedError, match=r"404: .*served there: 'moss-audio'"):
        client.chat([{"role": "user", "content": "?"}])
