"""Rollouts by vLLM's server, which runs beside the training and is given its weights as files.

    VLLM_SERVER_DEV_MODE=1 VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve MODEL \\
        --logprobs-mode processed_logprobs --max-logprobs 50 --enable-lora --max-lora-rank 32

Where nothing but a LoRA of the decoder learns, each update is an adapter under a name of its own.
Otherwise the whole model is written and loaded in place, and every cache is emptied: vLLM would go
on with the encodings of older weights. The kept ids are read from `processed_logprobs`: as many of
the likeliest as top-k keeps, of which the possible ones are those that were drawn from.

What vLLM computes together depends on when requests come, so runs do not repeat to the bit.
"""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from moss_audio.endpoint import Endpoint
from moss_audio.engine.base import FinishReason, Trace
from moss_audio.engine.remote_request import float_wav
from moss_audio.engine.thinking import ThinkIds
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import ChatVocabulary, PromptSpec, render
from moss_audio.train.rl.policy import PolicyWeights, sampling_model
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer, SamplingConfig
from moss_audio.units import num_tokens_of_samples

_IMPOSSIBLE = -9000.0  # JSON has no infinity: vLLM writes -9999
_SUM = 1e-4  # how far the probabilities of the kept ids may be from 1
_CACHES = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")
_ADAPTER, _ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"


class VllmRollouts:
    """`Rollouts` by a server.

    Args:
        endpoint: the server, and the model's name there.
        model: the policy in training; its configuration.
        tokenizer, spec: of its checkpoint.
        config: how to sample.
        folder: where weights are written; the server reads the same path.
        concurrency: prompts under way at once.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: MossAudioModel,
        tokenizer: Any,
        spec: PromptSpec,
        config: SamplingConfig,
        *,
        folder: Path,
        concurrency: int = 32,
    ) -> None:
        if config.thinking_budget is not None:
            raise MossAudioError(
                "sampling.thinking_budget: vLLM does not mark tokens that it puts in; leave it "
                "out, or let rollouts.kind be torch"
            )
        self._client = endpoint.connect("Rollouts by vLLM")
        self._policy, self._tokenizer, self._spec = model, tokenizer, spec
        self._config, self._folder, self._concurrency = config, folder, concurrency
        self._run, self._version = uuid.uuid4().hex[:8], 0
        self._name = endpoint.model_name  # of what answers
        think = ThinkIds.of(ChatVocabulary(tokenizer))
        self._opening: tuple[int, ...] = ()
        if config.thinking:
            if think is None:
                raise MossAudioError("sampling.thinking: this checkpoint has no <think> tokens")
            self._opening = think.opening

    def update(self, weights: PolicyWeights) -> None:
        """Have the weights loaded, which the first process writes."""
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not several or torch.distributed.get_rank() == 0:
            self._push(weights)
        if several:
            names = [self._name]
            torch.distributed.broadcast_object_list(names)  # the others wait for it
            self._name = names[0]

    def sample(self, prompts: Sequence[AskedPrompt], answers: int) -> list[list[SampledAnswer]]:
        """So many answers to each prompt."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(lambda prompt: self._sample(prompt, answers), prompts))

    def _push(self, weights: PolicyWeights) -> None:
        if not self._version:  # what a run that was killed has left: a whole model, perhaps
            for old in self._folder.glob("weights-*"):
                shutil.rmtree(old, ignore_errors=True)
        self._version += 1
        target = self._folder / f"weights-{self._version}"
        before = self._folder / f"weights-{self._version - 1}"
        target.mkdir(parents=True)
        adapters = weights.decoder_lora()
        if adapters is None:
            self._reload(target, weights)
        else:
            self._load_adapter(target, adapters, weights.scaling)
        if before.is_dir():
            shutil.rmtree(before)

    def _load_adapter(
        self, folder: Path, adapters: Mapping[str, tuple[torch.Tensor, torch.Tensor]], scale: float
    ) -> None:
        tensors = {}
        for layer, (down, up) in adapters.items():
            tensors[f"base_model.model.{layer}.lora_A.weight"] = down.cpu().contiguous()
            tensors[f"base_model.model.{layer}.lora_B.weight"] = up.cpu().contiguous()
        rank = next(iter(adapters.values()))[0].shape[0]
        names = sorted({layer.rpartition(".")[2] for layer in adapters})
        said = {
            "peft_type": "LORA", "r": rank, "lora_alpha": rank * scale, "lora_dropout": 0.0,
            "target_modules": names, "bias": "none", "base_model_name_or_path": "",
        }  # fmt: skip
        save_file(tensors, folder / _ADAPTER)
        (folder / _ADAPTER_CONFIG).write_text(json.dumps(said), encoding="utf-8")
        # a name that the server has not seen, in an earlier run either: what it computed with the
        # weights of a known one it would use again
        name, old = f"policy-{self._run}-{self._version}", self._name
        path = str(folder.resolve())
        self._client.order("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        self._name = name
        if self._version > 1:
            self._client.order("/v1/unload_lora_adapter", {"lora_name": old})

    def _reload(self, folder: Path, weights: PolicyWeights) -> None:
        merged = {name: tensor.cpu() for name, tensor in weights.merged().items()}
        model = sampling_model(self._policy, merged, self._policy.dtype)
        model.save_pretrained(folder)
        asked = {"method": "reload_weights", "kwargs": {"weights_path": str(folder.resolve())}}
        self._client.order("/collective_rpc", asked)
        for path in _CACHES:
            told = self._client.order(path)
            if told and not json.loads(told).get("success", True):
                raise MossAudioError(
                    f"{self._client.place}: {path} failed; let nobody else use this server"
                )

    def _sample(self, prompt: AskedPrompt, answers: int) -> list[SampledAnswer]:
        config = self._config
        asked: dict[str, Any] = {
            "model": self._name,
            "messages": _messages(prompt),
            "n": answers,
            "seed": prompt.seed,
            "temperature": config.temperature,
            "top_k": config.top_k,
            "top_p": config.top_p,
            "repetition_penalty": 1.0,
            "max_tokens": config.max_new_tokens - len(self._opening),
            "logprobs": True,
            "top_logprobs": config.top_k,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }
        opening = self._tokenizer.decode(self._opening) if self._opening else ""
        if opening:
            asked["messages"].append({"role": "assistant", "content": opening})
            asked |= {"add_generation_prompt": False, "continue_final_message": True}
        elif config.thinking is False:
            asked["chat_template_kwargs"] = {"enable_thinking": False}
        told = self._client.complete(asked)
        place = f"{self._client.place}: {prompt.example.id}"
        self._check_prompt(prompt, told, place)
        choices = sorted(told["choices"], key=lambda choice: choice["index"])
        if len(choices) != answers:
            raise MossAudioError(f"{place}: {len(choices)} answers came, {answers} were asked for")
        return [self._answer(choice, opening, place) for choice in choices]

    def _check_prompt(self, prompt: AskedPrompt, told: Mapping[str, Any], place: str) -> None:
        """Raises if the server has put other ids before the answer than training does."""
        example = prompt.example
        rendered = render(
            prompt.messages,
            [num_tokens_of_samples(len(clip)) for clip in example.clips],
            self._tokenizer,
            self._spec,
            enable_thinking=self._config.thinking is not False,
        )
        if told.get("prompt_token_ids") != [*rendered.input_ids, *self._opening]:
            raise MossAudioError(
                f"{place}: the server's prompt has other ids than ours; serve the checkpoint that "
                "the run starts from, with its own chat template"
            )

    def _answer(self, choice: Mapping[str, Any], opening: str, place: str) -> SampledAnswer:
        ids, steps = choice["token_ids"], choice["logprobs"]["content"]
        if len(ids) != len(steps):
            raise MossAudioError(f"{place}: {len(ids)} tokens have {len(steps)} log-probabilities")
        n_forced, width = len(self._opening), self._config.top_k + 1
        kept = np.full((n_forced + len(ids), width), -1, np.int32)
        kept[:n_forced, 0] = self._opening
        logprobs = np.zeros(n_forced + len(ids), np.float32)
        for row, (token, step) in enumerate(zip(ids, steps, strict=True), n_forced):
            likely = {_id(one["token"]): one["logprob"] for one in step["top_logprobs"]}
            likely[token] = step["logprob"]
            possible = {one: value for one, value in likely.items() if value > _IMPOSSIBLE}
            total = sum(np.exp(list(possible.values())))
            if abs(total - 1.0) > _SUM:
                raise MossAudioError(
                    f"{place}: the kept ids have probability {total:.5f} together; serve with "
                    f"--logprobs-mode processed_logprobs and --max-logprobs {self._config.top_k}"
                )
            kept[row, : len(possible)] = list(possible)
            logprobs[row] = step["logprob"]
        forced = np.arange(len(kept)) < n_forced
        trace = Trace(np.array([*self._opening, *ids], np.int32), logprobs, kept, forced)
        reason: FinishReason = "length" if choice["finish_reason"] == "length" else "stop"
        return SampledAnswer(opening + (choice["message"]["content"] or ""), trace, reason)


def _id(token: str) -> int:
    """The number in `token_id:7`."""
    return int(token.rpartition(":")[2])


def _messages(prompt: AskedPrompt) -> list[dict[str, Any]]:
    """What is asked, the clips as WAV files in base64."""
    clips = iter(prompt.example.clips)
    out = []
    for message in prompt.messages:
        content: Any = message["content"]
        if not isinstance(content, str):
            content = [
                {"type": "input_audio", "input_audio": {
                    "data": base64.b64encode(float_wav(next(clips))).decode(), "format": "wav",
                }} if part["type"] == "audio" else part
                for part in content
            ]  # fmt: skip
        out.append({**message, "content": content})
    return out
