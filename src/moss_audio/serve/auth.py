"""Who may ask: API keys, compared in constant time, and which web pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from moss_audio.serve.config import LOOPBACK, ServerConfig
from moss_audio.serve.errors import ApiError

ANONYMOUS = "anonymous"
_KEY_PROTOCOL = "openai-insecure-api-key."  # as OpenAI's pages write it


class Keys:
    """The keys of a server. Only their digests are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in dict.fromkeys(keys)]

    def __len__(self) -> int:
        return len(self._digests)

    def owner(self, key: str | None) -> str:
        """A name for the key that a client shows, the same for the same key.

        Raises:
            ApiError: 401 for a missing or unknown key.
        """
        if not self._digests:
            return ANONYMOUS
        if key is None:
            raise ApiError(401, "no API key: send the header 'Authorization: Bearer KEY'",
                           code="invalid_api_key")  # fmt: skip
        shown = _digest(key)
        # all are compared, so that the time tells nothing of which one it is
        found = [hmac.compare_digest(shown, one) for one in self._digests]
        if not any(found):
            raise ApiError(401, "this API key is not known here", code="invalid_api_key")
        return f"key {found.index(True)}"


def shown_key(headers: Headers, protocols: Sequence[str] = ()) -> str | None:
    """The key in `Authorization: Bearer KEY`. A page cannot set this header for a WebSocket: it
    names its key among the sub-protocols."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if not scheme:
        shown_keys = (one.partition(_KEY_PROTOCOL)[2] for one in protocols)
        scheme, key = "bearer", next(filter(None, shown_keys), "")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


def check_page(headers: Headers, config: ServerConfig) -> None:
    """A server without keys is open to this machine, not to every page in its browser.

    Raises:
        ApiError: 403 for a page of another origin, or one that has another name for this machine.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and origin not in config.origins and origin.partition("://")[2] != host:
        raise ApiError(403, "this page may not use the server: allow its origin by --allow-origin",
                       code="origin_not_allowed")  # fmt: skip
    private = config.local and not config.keys and not config.insecure
    if private and _name(host) not in (*LOOPBACK, ""):
        raise ApiError(403, "the server has no such name: address it as 127.0.0.1 or localhost, or "
                       "start it with --api-key or --insecure behind a proxy",
                       code="host_not_allowed")  # fmt: skip


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
