"""vLLM's own implementation of the architecture answers as ours does, token for token.

Three random float32 checkpoints, written by our `save_pretrained`, are served by vLLM without
remote code. Same ids of every prompt, same greedy tokens, and log-probabilities that differ by
rounding only. Ours answers with `model.generate(**processor(...))` and nothing more.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.interop import cases, checkpoints
from tests.interop.conftest import Served

# Float32 sums of other order differ by about 1e-5 here; a wrong weight or position by whole units.
LOGPROB_TOLERANCE = 1e-3
CHECKPOINTS = tuple(checkpoints.RECIPES)

by_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def by_case(found: list[cases.Case]) -> Any:
    return pytest.mark.parametrize("case", found, ids=lambda case: case.name)


def inputs(served: Served, case: cases.Case) -> Any:
    """The processor's output, with the case's markers instead of the folder's."""
    processor = served.processor
    kept, processor.enable_time_marker = processor.enable_time_marker, case.time_markers
    try:
        return processor(text=case.prompt, audio=case.clips() or None, raw_prompt=True)
    finally:
        processor.enable_time_marker = kept


def answer(served: Served, batch: Any) -> tuple[list[int], list[float], float]:
    """Greedy tokens, their log-probabilities, and the narrowest lead over a second-best token."""
    out = served.model.generate(
        **batch,
        max_new_tokens=cases.NEW_TOKENS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = out.sequences[0, batch["input_ids"].shape[1] :].tolist()
    logits = torch.cat(out.logits)
    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
    best = logits.topk(2).values
    return tokens, logprobs, float((best[:, 0] - best[:, 1]).min())


def assert_same(ours: tuple[list[int], list[float], float], theirs: dict[str, Any]) -> None:
    tokens, logprobs, lead = ours
    assert tokens == theirs["tokens"], f"narrowest lead {lead:.4f}"
    assert logprobs == pytest.approx(theirs["logprobs"], abs=LOGPROB_TOLERANCE)


@by_checkpoint
def test_the_saved_folder_is_complete(name: str, folders: Callable[[str], Path]) -> None:
    folder = folders(name)
    recipe = checkpoints.RECIPES[name]
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["MossAudioModel"]
    assert config["model_type"] == "moss_audio"
    assert "auto_map" not in config
    processor = json.loads((folder / "processor_config.json").read_text())
    assert processor["enable_time_marker"] is recipe.time_markers
    ids = [processor[key] for key in ("audio_token_id", "audio_start_id", "audio_end_id")]
    assert ids == [151_654, 151_669, 151_670]
    assert processor["mel_config"]["mel_dim"] == 128
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        json.loads((folder / file).read_text())
    assert cases.PLACEHOLDER in (folder / "chat_template.jinja").read_text()
    shards = list(folder.glob("*.safetensors"))
    assert (len(shards) > 1) is (recipe.max_shard_size is not None)
    assert (folder / "model.safetensors.index.json").is_file() is (len(shards) > 1)


def test_the_tokenizer_has_the_ids_that_vllm_expects(folders: Callable[[str], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders("plain"))
    assert len(tokenizer) == 151_669
    assert tokenizer.convert_tokens_to_ids(list("0123456789")) == list(range(15, 25))
    assert tokenizer.convert_tokens_to_ids("<|vision_pad|>") == 151_654
    assert tokenizer.convert_tokens_to_ids(["<think>", "</think>"]) == [151_667, 151_668]
    assert tokenizer.encode("<|im_start|>") == [151_644]


@by_case(cases.CASES)
@by_checkpoint
def test_prompt_ids_agree(name: str, case: cases.Case, served: Callable[[str], Served]) -> None:
    run = served(name)
    batch = inputs(run, case)
    assert batch["input_ids"][0].tolist() == run.answers[case.name]["prompt_ids"]


@by_case(cases.CASES)
@by_checkpoint
def test_greedy_tokens_agree(name: str, case: cases.Case, served: Callable[[str], Served]) -> None:
    run = served(name)
    assert_same(answer(run, inputs(run, case)), run.answers[case.name])


@by_checkpoint
def test_the_chat_template_gives_the_renderers_prompt(
    name: str, served: Callable[[str], Served]
) -> None:
    """vLLM's chat endpoint renders chat_template.jinja; our processor has a renderer instead."""
    run = served(name)
    batch = run.processor(messages=cases.chat_messages("audio"))
    theirs = run.answers[cases.CHAT]
    assert batch["input_ids"][0].tolist() == theirs["prompt_ids"]
    assert_same(answer(run, batch), theirs)


@by_checkpoint
def test_the_answers_are_a_sharp_test(name: str, served: Callable[[str], Served]) -> None:
    """Answers that ignore the audio, or repeat one token, would agree for the wrong reason."""
    run = served(name)
    answers = [tuple(run.answers[case.name]["tokens"]) for case in cases.CASES]
    assert len(set(answers)) >= 0.9 * len(answers)
    varied = [len(set(tokens)) for tokens in answers]
    assert statistics.median(varied) > cases.NEW_TOKENS / 2
