"""A checkpoint that a server holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from moss_audio import settings
from moss_audio.endpoint import Endpoint, EndpointClient
from moss_audio.errors import CheckpointError
from moss_audio.model.known_speech import KnownSpeech

TIMEOUT_S = 300.0  # a long clip on a busy server waits before its first token
_LISTING_S = 30.0  # a list of models does not wait


@dataclass(frozen=True)
class ServedCheckpoint:
    """What is known of a checkpoint that a server holds.

    Attributes:
        endpoint: the server, and the checkpoint's name there.
        root: what the server says that it loaded; "" where it does not say.
        max_positions: of a prompt and its answer together; None where it does not say.
        times: how its word times are best found; only by its own writing, unless somebody has its
            folder (`Checkpoint.times`).
        knows: the only language that it knows; a server does not say.
    """

    endpoint: Endpoint
    root: str = ""
    max_positions: int | None = None
    times: str = "written"
    knows: KnownSpeech | None = None

    @classmethod
    def open(cls, address: str, model: str | None = None, **options: Any) -> ServedCheckpoint:
        """Ask a server what it serves.

        Args:
            address: `http://host:8000/v1`, or `http://host:8000/v1#name` with the model's name.
            model: the name, if it is not in the address; needed where several are served.
            options: `key_env`, `timeout_s` and `retries` of `Endpoint`.

        Raises:
            CheckpointError: if there is no such model.
            MossAudioError: if the server cannot be asked; an option that does not exist.
        """
        url, _, named = address.partition("#")
        if model and named and model != named:
            raise CheckpointError(f"{address}: the model is also named {model!r}; name it once")
        endpoint = Endpoint(url, model or named, **{"timeout_s": TIMEOUT_S, **options})
        listing = replace(endpoint, timeout_s=min(_LISTING_S, endpoint.timeout_s))
        rows = {row["id"]: row for row in EndpointClient(listing).models()}
        name = endpoint.model or (next(iter(rows)) if len(rows) == 1 else "")
        if name not in rows:
            served = ", ".join(map(repr, rows)) or "nothing"
            wanted = f"{name!r} is not served there" if name else "which model is meant"
            raise CheckpointError(f"{url}: {wanted}; served: {served}; name one as {url}#NAME")
        row = rows[name]
        length = row.get("max_model_len")
        return cls(
            replace(endpoint, model=name),
            root=row.get("root") or "",
            max_positions=length if isinstance(length, int) and length > 0 else None,
        )

    @property
    def name(self) -> str:
        """The address, with the model's name."""
        return f"{self.endpoint.url}#{self.endpoint.model}"

    @property
    def thinks(self) -> bool:
        """Whether it thinks before it answers: its name tells, as with the released folders."""
        names = (self.endpoint.model, self.root.rpartition("/")[2])
        return any("thinking" in one.lower() for one in names)

    @property
    def can_think(self) -> bool:
        """Nobody tells; a server that cannot says so when it is asked to."""
        return True

    @property
    def thinker(self) -> None:
        """Nobody thinks in its place."""
        return None

    @property
    def fingerprint(self) -> str:
        """A hash of the address and of what the server calls the model: 64 hexadecimal digits. Its
        files are not seen: other weights under the same names stay unnoticed."""
        return settings.digest([self.endpoint.url, self.endpoint.model, self.root], 64)


class HiddenTokenizer:
    """In the place of the tokenizer that a server keeps to itself: no text has ids, and a token is
    called by its number."""

    def encode(self, text: str, **_: Any) -> list[int]:
        """No ids."""
        return []

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        """Numbers, as vLLM writes them."""
        return " ".join(f"token_id:{one}" for one in ids)
