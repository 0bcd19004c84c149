"""What several tests of training need: a stage killed half-way, its losses, a live objective."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.data.batch import Batch
from moss_audio.data.collate import Collator
from moss_audio.data.conversation import converse
from moss_audio.data.example import Example
from moss_audio.data.raw import Truth
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import parts as nano
from moss_audio.prompt import PromptSpec
from moss_audio.result import Event, Word
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.settings import load_config
from moss_audio.train import checkpoint, sft
from moss_audio.train.data import known_scenes
from moss_audio.train.objective import Objective
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.setup import load_for_training
from moss_audio.train.stage import Stage


def assert_same_checkpoints(whole: Path, parts: Path) -> dict[str, torch.Tensor]:
    """Two checkpoints hold the same tensors, bit for bit; these tensors."""
    one, two = checkpoint.read_tensors(whole), checkpoint.read_tensors(parts)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(two[name], tensor), name
    return one


def killed(stage: Any, config: Path, line: str) -> int:
    """Run a stage in a process that gets SIGKILL when it logs `line`; the signal that ended it."""
    child = os.fork()
    if child == 0:

        def log(said: str) -> None:
            if said.startswith(line):
                os.kill(os.getpid(), signal.SIGKILL)

        stage.log_to = lambda path: log
        try:
            stage.main(config)
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def killed_at(event: int, action: Callable[[], Any]) -> bool:
    """Run in a process of its own that gets SIGKILL before its so manieth operation on files;
    False: there were fewer."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(name: str, _: Any) -> None:
            nonlocal seen
            if name == "open" or name.startswith(("os.", "shutil.", "ctypes.")):
                seen += 1
                if seen == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        # After a fork torch has no pool of threads for new threads: weights are loaded in this one.
        os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"
        sys.addaudithook(hook)
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def losses(stage: Any, config: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Run a stage; the loss of each line."""
    lines: list[str] = []
    monkeypatch.setattr(stage, "log_to", lambda path: lines.append)
    assert stage.main(config)
    return [float(line.split(" loss ")[1].split()[0]) for line in lines if " loss " in line]


def torchrun(*arguments: str, **environment: str) -> None:
    """Run `distributed_worker` as two processes on gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-addr", "127.0.0.1", "--master-port", str(port),
        str(Path(__file__).with_name("distributed_worker.py")), *arguments,
    ]  # fmt: skip
    root = Path(__file__).parents[2]
    paths = [str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1",
             **environment},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


class Fixed:
    """The same batches again and again: a loader whose state is how many it has given. A rank
    out of several gets every so manieth."""

    def __init__(
        self, batches: Sequence[Batch], state: Any = None, rank: int = 0, world_size: int = 1
    ) -> None:
        self.batches, self.at = batches, 0 if state is None else state["at"]
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[Batch]:
        while True:
            at = self.at * self.world_size + self.rank
            self.at += 1
            yield self.batches[at % len(self.batches)]

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}


def stage_of(objective: Objective, batches: Sequence[Batch]) -> Stage:
    """Train an objective on the same batches; its result is left where it is."""
    return Stage(
        objective, lambda state, rank, n: Fixed(batches, state, rank, n), lambda weights: None
    )


def batch_of(
    scenes: Sequence[Scene], tokenizer: Any, spec: PromptSpec, n_mels: int, seed: int = 0
) -> Batch:
    """One packed row: each scene with a task drawn for it."""
    examples = []
    for number, scene in enumerate(scenes):
        rng = random.Random(seed + number)
        made = converse(Truth(scene=scene), None, None, rng)
        samples = scene.load().samples
        words = tuple(Word(w.text, w.start, w.end) for w in scene.words)
        sounds = tuple(Event(e.label, e.start, e.end) for e in scene.events)
        own = Example(scene.id, made.messages, (samples,), (words,), (sounds,), made.task)
        examples.append(own)
    return Collator(tokenizer, spec, n_mels)(examples)


def scene_batches(config: Path) -> list[Batch]:
    """A batch a scene, for the model and the data of a stage's configuration."""
    loaded = load_config(config, sft.SftConfig)
    model, tokenizer, spec = load_for_training(Path(loaded.model))
    n_mels = model.config.audio_config.num_mel_bins
    scenes = known_scenes(loaded.data)
    return [batch_of([s], tokenizer, spec, n_mels, seed=i) for i, s in enumerate(scenes)]


class Live:
    """The fine-tuning stage's objective, before its first step."""

    def __init__(
        self,
        config: sft.SftConfig,
        model: Path | None = None,
        spoken: Sequence[Scene] | None = None,
    ) -> None:
        self.config, self.source = config, model or Path(config.model)
        self.model, self.tokenizer, self.spec = load_for_training(self.source)
        dtype = sft.prepare(self.model, config, self.source)
        pieces = None
        if spoken is not None:
            embedding = self.model.get_parameter(nano.EMBEDDING)
            pieces = SpokenPieces(spoken, self.tokenizer, embedding, 24.0)
        self.objective = sft.objective_of(self.model, self.spec, dtype, config, pieces)
        self.n_mels = self.model.config.audio_config.num_mel_bins

    def batch(self, scenes: Sequence[Scene], seed: int = 0) -> Batch:
        return batch_of(scenes, self.tokenizer, self.spec, self.n_mels, seed)

    def batch_of_text(self) -> Batch:
        """A question and its answer, without a clip."""
        collate = Collator(self.tokenizer, self.spec, self.n_mels)
        said = [
            {"role": "user", "content": "the user"},
            {"role": "assistant", "content": "the assistant"},
        ]
        return collate([Example("text", said, ())])

    def loss(self, batch: Batch) -> float:
        counts = torch.tensor(self.objective.counts(batch))
        with torch.no_grad():
            return float(self.objective(batch, counts).sum())

    def gradients(self, batches: Sequence[Batch]) -> dict[str, torch.Tensor]:
        """Of the loss over all batches together."""
        counts = torch.tensor([self.objective.counts(b) for b in batches]).sum(0)
        self.objective.zero_grad()
        for batch in batches:
            self.objective(batch, counts).sum().backward()
        return {
            n: p.grad.clone() for n, p in self.objective.trained().items() if p.grad is not None
        }

    def move(self, seed: int = 9) -> None:
        """Every trained parameter somewhere else, on values that float16 holds."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.objective.trained().values():
                noise = torch.randn(parameter.shape, generator=generator) * 0.1
                parameter.copy_((parameter + noise).half().float())

    def export(self) -> None:
        weights = {n: p.detach().clone() for n, p in self.objective.kept().items()}
        sft.export(self.config, self.source, weights)

    def check_export(
        self, folder: Path, untrained: Path, scenes_folder: Path, tolerance: float
    ) -> None:
        """The written folder answers as the live model does, and not as the untrained one."""
        shipped = MossAudioModel.from_pretrained(folder, dtype=torch.float32)
        other = MossAudioModel.from_pretrained(untrained, dtype=torch.float32)
        # the live embedding still holds the old audio rows: the objective looks the new ones up
        if self.objective.rows is not None:
            with torch.no_grad():
                self.model.get_parameter(nano.EMBEDDING)[-3:] = self.objective.rows
        for scene in load_scenes(scenes_folder, "train")[:3]:
            batch = self.batch([scene])
            inputs = {
                "input_ids": batch.input_ids,
                "audio_data": batch.audio_data,
                "audio_data_seqlens": batch.audio_data_seqlens,
                "use_cache": False,
            }
            with torch.no_grad():
                expected = self.model(
                    **inputs, attention_mask={"full_attention": None}, segments=batch.segments
                ).logits
                found = shipped(**inputs, labels=batch.labels)
                far = (other(**inputs).logits - expected).norm() / expected.norm()
            distance = (found.logits - expected).norm() / expected.norm()
            assert distance < tolerance
            assert far > 10 * tolerance  # or the test would see nothing
            if tolerance < 1e-3:
                assert float(found.loss) == pytest.approx(self.loss(batch), abs=1e-4)
