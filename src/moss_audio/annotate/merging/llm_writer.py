"""A language model behind any OpenAI-compatible endpoint as the writer of captions.

It words sentences around the evidence and never words the evidence: it answers with pieces of
text and ids of slots, which are checked and filled in by `draft`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from moss_audio.annotate.merging import draft
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.plan import CaptionItem, CaptionPlan
from moss_audio.annotate.tool import Listener
from moss_audio.annotate.words import words
from moss_audio.endpoint import Endpoint, EndpointClient, Structured
from moss_audio.errors import MossAudioError
from moss_audio.settings import Between, check


@dataclass(frozen=True)
class LlmConfig(Endpoint):
    """The language model, and how it is asked.

    Attributes:
        attempts: answers asked for in all, before the deterministic writer takes over.
        workers: segments asked about at a time.
        max_tokens: of an answer.
        seed: sent along; temperature is 0.
    """

    retries: int = 3
    attempts: Annotated[int, Between(1)] = 2
    workers: Annotated[int, Between(1)] = 4
    max_tokens: Annotated[int, Between(1)] = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises MossAudioError for numbers that make no sense."""
        super().__post_init__()
        check(self)


class LlmWriter(Listener):
    """Asks a language model; one client for all threads."""

    config: LlmConfig

    def __init__(self, config: LlmConfig) -> None:
        super().__init__(config)
        self.name = config.model_name

    @property
    def version(self) -> str:
        """The model, the prompt and what is sent along; not where the endpoint stands."""
        config = self.config
        prompt = words("prompts")["writer"]
        return json.dumps((prompt, self.name, config.attempts, config.max_tokens, config.seed))

    def load(self) -> EndpointClient:
        """The client. Raises MossAudioError without an endpoint or a model."""
        return self.config.connect("Writing captions with a language model")

    def write(
        self,
        evidence: Evidence,
        plan: CaptionPlan,
        items: Sequence[CaptionItem],
        slots: Mapping[str, draft.Slot],
    ) -> Structured[str]:
        """A caption that passed the check; or none, and what was wrong with the last answer.

        Raises EndpointError when the endpoint does not answer, EndpointRefusedError when address,
        model or key are refused, so that no further segment would fare better.
        """

        def caption(reply: str) -> str:
            sentences = draft.read_draft(reply)
            if faults := draft.draft_faults(sentences, slots, items, evidence):
                raise MossAudioError("; ".join(faults[:20]))
            return draft.draft_text(sentences, slots)

        client: EndpointClient = self.model
        return client.ask(
            [
                {"role": "system", "content": words("prompts")["writer"]},
                {"role": "user", "content": request_text(slots, plan)},
            ],
            caption,
            attempts=self.config.attempts,
            schema=draft.draft_schema(slots),
            max_tokens=self.config.max_tokens,
            seed=self.config.seed,
        )


def request_text(slots: Mapping[str, draft.Slot], plan: CaptionPlan) -> str:
    """Plan and slots as the model reads them."""
    must = [slot.id for slot in slots.values() if slot.required]
    texts = {slot.id: slot.text for slot in slots.values()}
    shown = json.dumps(texts, ensure_ascii=False, indent=1)
    return f"PLAN\n{'; '.join(plan.lines)}\n\nMUST\n{', '.join(must)}\n\nSLOTS\n{shown}"
