"""Keys that are good for some minutes, for pages and phones that must not have a real one: they
open live sessions and nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from moss_audio.serve.errors import ApiError

PREFIX = "ek_"
_MAC_BYTES = 32
_SALT = b"moss-audio client secrets"
_LONGEST = 8000  # characters of a key: a line of a handshake's head has 8 KiB at most


class EphemeralKeys:
    """Makes and reads them. What a key stands for is in it, signed; nothing is kept.

    Args:
        keys: of the server. What they sign is good at every server that has the same, as behind a
            proxy; without any, at this process alone.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # slow to derive, so that who sees a signature cannot try many keys
        self._secret = os.urandom(_MAC_BYTES) if not keys else hashlib.scrypt(
            "\0".join(keys).encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=_MAC_BYTES
        )  # fmt: skip

    def issue(self, owner: str, seconds: int, session: Mapping[str, Any]) -> tuple[str, int]:
        """A key for a session, and when it ends (seconds since 1970).

        Args:
            owner: whose share its sessions count against.
            session: what the session is to be, as of `session.update`.

        Raises:
            ApiError: if that is too much for a key.
        """
        ends = int(time.time()) + seconds
        content = json.dumps([owner, ends, session], separators=(",", ":")).encode()
        signed = base64.urlsafe_b64encode(self._mac(content) + content)
        key = PREFIX + signed.rstrip(b"=").decode()
        if len(key) > _LONGEST:
            raise ApiError(
                400, f"session: it makes a key of {len(key)} characters, and a header takes "
                f"{_LONGEST}; send the rest with session.update", code="invalid_value",
                param="session",
            )  # fmt: skip
        return key, ends

    def read(self, key: str) -> tuple[str, dict[str, Any]]:
        """The owner and the session of a key.

        Raises:
            ApiError: 401 for one that was not issued here, or has ended.
        """
        text = key.removeprefix(PREFIX)
        try:
            signed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            signed = b""
        mac, content = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content)):
            raise ApiError(401, "this client secret is not known here: ask for a new one at "
                           "/v1/realtime/client_secrets", code="invalid_api_key")  # fmt: skip
        owner, ends, session = json.loads(content)
        if time.time() >= ends:
            raise ApiError(401, "this client secret has expired: ask for a new one at "
                           "/v1/realtime/client_secrets", code="expired_client_secret")  # fmt: skip
        return owner, session

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, hashlib.sha256)
