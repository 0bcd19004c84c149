"""What is asked: examples of a mixture one after the other, each with seeds of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from moss_audio.data.batch import SetAside
from moss_audio.data.collate import RenderedExample
from moss_audio.data.config import DataConfig
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.loader import check_order, open_sources, order_of
from moss_audio.data.mixture import Place, make_sampler
from moss_audio.errors import MossAudioError
from moss_audio.train.rl.rollout import AskedPrompt

_HOPELESS = 64  # as many examples that cannot be used, one after the other, are no bad luck
_SEEDS = 2**48

Fitted = Callable[[Example], RenderedExample | SetAside]


class PromptStream:
    """The examples of a mixture, epoch after epoch; no example comes twice in one.

    Args:
        config: the mixture; how it makes batches plays no part.
        rank, world_size: this process among those that ask; no two ask about the same example.
        state: what `state_dict` gave, to go on from there.
        fitted: `Collator.fitted`, which sets aside what cannot be asked about, and may shorten a
            clip; None takes all as they are.

    Raises:
        MossAudioError: a source that can't be used, or a state of other data.
    """

    def __init__(
        self,
        config: DataConfig,
        rank: int = 0,
        world_size: int = 1,
        state: Mapping[str, Any] | None = None,
        fitted: Fitted | None = None,
    ) -> None:
        # buckets hold clips whose true answers are of one length, and so often the same one: what
        # is asked at once has to be mixed
        config = replace(config, buckets=1)
        self.config, self.rank, self.world_size = config, rank, world_size
        self._fitted = fitted
        self.sources = open_sources(config)
        self._order = order_of(config, self.sources, world_size)
        if state is not None and "order" in state:  # older states have none
            check_order(state["order"], self._order)
        self.epoch: int = 0 if state is None else state["epoch"]
        self.taken: int = 0 if state is None else state["taken"]
        self._places: Iterator[Place] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Where it is: epoch, and examples of it; and what decides their order."""
        return {"epoch": self.epoch, "taken": self.taken, "order": self._order}

    def take(self, count: int) -> list[AskedPrompt]:
        """The next examples that can be used.

        Raises:
            MossAudioError: if too many in a row cannot.
        """
        found: list[AskedPrompt] = []
        aside: list[SetAside] = []
        while len(found) < count:
            place = self._next()
            example = self._askable(place)
            if isinstance(example, SetAside):
                aside.append(example)
            else:
                found.append(AskedPrompt(example, self._seed(place)))
                aside.clear()
            if len(aside) >= _HOPELESS:
                raise MossAudioError(
                    f"none of {len(aside)} examples in a row can be asked about: {aside[-1].id}: "
                    f"{aside[-1].detail}"
                )
        return found

    def _askable(self, place: Place) -> Example | SetAside:
        """The example at a place, or why it cannot be asked about."""
        source, config = self.sources[place.source], self.config
        example = draw(source, place.number, place.id, place.turn, config.seed, config.augment)
        if isinstance(example, SetAside):
            return example
        roles = [message["role"] for message in example.messages[-2:]]
        if roles[-1:] != ["assistant"]:
            return SetAside(place.id, "no_answer", "it has no true answer")
        if roles != ["user", "assistant"]:  # a document, say
            return SetAside(place.id, "no_question", "nothing is asked before its answer")
        if example.made:
            return SetAside(place.id, "made", "its audio tokens are made of words, not heard")
        kept = example if self._fitted is None else self._fitted(example)
        return kept.example if isinstance(kept, RenderedExample) else kept

    def _next(self) -> Place:
        empty = 0
        while True:
            if self._places is None:
                batches = make_sampler(
                    self.config, self.sources, self.epoch, self.rank, self.world_size
                )
                places = (place for batch in batches for place in batch)
                self._places = islice(places, self.taken, None)
            place = next(self._places, None)
            if place is not None:
                self.taken += 1
                return place
            self.epoch, self.taken, self._places = self.epoch + 1, 0, None
            empty += 1
            if empty > 1:
                raise MossAudioError("the data holds no example to ask about")

    def _seed(self, place: Place) -> int:
        """Of an example's answers: another one each time that it comes."""
        text = f"{self.config.seed}/{self.epoch}/{place.turn}/{place.id}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(digest, "big") % _SEEDS
