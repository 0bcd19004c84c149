"""Speech captions judged by a language model: 13 fields, 1 to 5 each.

The fields and the plain mean over them are those of the MOSS-Audio report (arXiv 2606.01802,
speech captioning). The prompt of that report is not public: this one is our own, so figures
compare between runs of the same judge with this prompt, not with published ones.

A reply that is not the JSON asked for is asked for once more; then it is a failure: counted,
reported, and out of every mean. It is never turned into a score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from moss_audio import settings
from moss_audio.endpoint import Endpoint, EndpointClient, json_object
from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic

FIELDS = (
    "gender", "age", "accent", "pitch", "volume", "speed", "texture", "clarity", "fluency",
    "emotion", "tone", "personality", "summary",
)  # fmt: skip
LOWEST, HIGHEST = 1, 5
_WORKERS = 4  # requests at a time
_SAMPLING: dict[str, Any] = {"temperature": 0.0, "max_tokens": 4096}

Ratings = dict[str, int]  # by field


@dataclass(frozen=True)
class SpeechCaptionJudge:
    """A judge behind any OpenAI-compatible endpoint.

    With `cache_dir`, every verdict (failures too) is kept in a file named by the content of the
    request, so an interrupted run resumes where it stopped and a finished one costs nothing.
    """

    endpoint: Endpoint
    cache_dir: Path | None = None

    def rate(self, pairs: Sequence[tuple[Mapping[str, str], str]]) -> list[Ratings | None]:
        """Ratings of (reference, hypothesis) pairs in their order, None for a reply that could not
        be read. A reference has a text for each field that it says something about.

        Raises MossAudioError when the endpoint cannot be reached or refuses (what was rated before
        is kept).
        """
        requests = [self._request(reference, hypothesis) for reference, hypothesis in pairs]
        found = [self._cached(request) for request in requests]
        if any(verdict is None for verdict in found):
            client = self.endpoint.connect("The speech-caption judge")
            with ThreadPoolExecutor(_WORKERS) as pool:
                jobs = [
                    pool.submit(lambda v, r: v or self._ask(client, r), verdict, request)
                    for verdict, request in zip(found, requests, strict=True)
                ]
                try:
                    found = [job.result() for job in jobs]
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        return [verdict["ratings"] for verdict in found if verdict is not None]

    def _request(self, reference: Mapping[str, str], hypothesis: str) -> dict[str, Any]:
        known = "\n".join(f"{f}: {reference[f]}" for f in FIELDS if reference.get(f))
        content = f"REFERENCE\n{known}\n\nCANDIDATE\n{hypothesis}"
        return {
            "model": self.endpoint.model_name,
            **_SAMPLING,
            "messages": [
                {"role": "system", "content": _prompt()},
                {"role": "user", "content": content},
            ],
        }

    def _ask(self, client: EndpointClient, request: Mapping[str, Any]) -> dict[str, Any]:
        found = client.ask(request["messages"], parse_ratings, **_SAMPLING)
        verdict = {"request": request, "replies": list(found.replies), "ratings": found.value}
        path = self._path(request)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps(verdict, indent=1))
        return verdict

    def _path(self, request: Mapping[str, Any]) -> Path | None:
        if self.cache_dir is None:
            return None
        name = settings.digest({"base_url": self.endpoint.address, **request}, 64)
        return Path(self.cache_dir) / name[:2] / f"{name}.json"

    def _cached(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        path = self._path(request)
        if path is None or not path.is_file():
            return None
        try:
            verdict = json.loads(path.read_text("utf-8"))
            if verdict["ratings"] is not None:
                parse_ratings(json.dumps(verdict["ratings"]))
        except (ValueError, KeyError, TypeError):
            return None  # damaged: ask again
        return dict(verdict)


@cache
def _prompt() -> str:
    """What the judge is told; it names the fields."""
    return (files(__package__) / "judge.txt").read_text(encoding="utf-8").rstrip("\n")


def parse_ratings(reply: str) -> Ratings:
    """The 13 ratings of a judge's reply.

    The reply, after any thinking block and without one code fence around all of it, must be a
    JSON object with exactly the keys `FIELDS` and whole numbers from 1 to 5. Raises MossAudioError
    saying what is wrong.
    """
    data = json_object(reply)
    if set(data) != set(FIELDS):
        missing, extra = sorted(set(FIELDS) - set(data)), sorted(set(data) - set(FIELDS))
        raise MossAudioError(f"missing keys {missing}, unknown keys {extra}"[:300])
    for name, value in data.items():
        if type(value) is not int or not LOWEST <= value <= HIGHEST:
            raise MossAudioError(f"{name} must be an integer from {LOWEST} to {HIGHEST}")
    return {name: data[name] for name in FIELDS}
