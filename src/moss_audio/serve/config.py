"""What an operator can set."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field

from moss_audio.errors import MossAudioError
from moss_audio.recordings.web import AllowedHosts

MIB = 2**20
VADS = ("energy", "silero")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?"
)
_WITHOUT_SAYING = {("http", ":80"), ("https", ":443")}


@dataclass(frozen=True)
class Limits:
    """Bounds on what one client, or all of them, can make the server do.

    Attributes:
        body_bytes: of a request.
        bodies_bytes: of all requests that are being read, where that is more than `body_bytes`.
        audio_s: seconds of sound in a request, as they are decoded.
        clips: in one conversation.
        answer_tokens: of one answer, thinking included.
        choices: `n` of a conversation.
        connections: open at once.
        waiting: requests that wait for their turn, of all keys together.
        wait_s: a request that would wait longer than this is refused at once.
        header_s, body_s, write_s: how long a client may be silent while it sends the head or the
            body of a request, or may not take anything of an answer.
        body_rate: bytes a second that a body must come with in the mean, after `body_s`.
        fetch_s: for all addresses of a request together, where addresses are fetched.
        fetches: requests whose addresses are fetched at once.
        drain_s: how long requests may go on after SIGTERM.
        sessions: live ones at once; None: as many as the machine can promise.
        session_s: how long one may last.
        turn_s: of sound between two commits.
        behind_s: of sound that a session may have committed before the server waits with reading
            on.
        message_bytes: of a message of a live session.
        items: of a conversation that are kept, and `item_chars` of text and `kept_s` of sound in
            them.
        beside: responses of a session that may be in progress beside that of its conversation.

    Raises:
        MossAudioError: for what is no number.
    """

    body_bytes: int = 100 * MIB
    bodies_bytes: int = 2048 * MIB
    audio_s: float = 3 * 3600.0
    clips: int = 16
    answer_tokens: int = 8192
    choices: int = 16
    connections: int = 512
    waiting: int = 32
    wait_s: float = 60.0
    header_s: float = 10.0
    body_s: float = 20.0
    write_s: float = 30.0
    body_rate: float = 1024.0
    fetch_s: float = 20.0
    fetches: int = 8
    drain_s: float = 30.0
    sessions: int | None = None
    session_s: float = 3600.0
    turn_s: float = 600.0
    behind_s: float = 60.0
    message_bytes: int = 21 * MIB  # 15 MiB in base64, as OpenAI takes them
    items: int = 256
    item_chars: int = 500_000
    kept_s: float = 600.0
    beside: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise MossAudioError(f"{name}={value}: give a number that is finite")


@dataclass(frozen=True)
class ServerConfig:
    """Where to listen, to whom, and under which names.

    Attributes:
        names: of the model, the canonical one first; none: the one that its backend has for it.
        keys: that clients may show; none: no key is asked for.
        origins: of web pages that may use the server; kept as browsers write them.
        url_hosts: that clients' addresses may name, as `AllowedHosts` reads them; none: no address
            is fetched.
        insecure: another address than this machine's may go without keys, and this machine's may
            have other names, as behind a proxy.
        page: show the page at `/`.
        vad: what finds the turns of live sessions, a name of `VADS`.

    Raises:
        MossAudioError: where everybody on the network could use it and nobody said so, and for what
            is no name, no key, no origin or no host.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ("moss-audio",)
    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    insecure: bool = False
    page: bool = True
    vad: str = VADS[0]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not all(name.strip() for name in self.names):
            raise MossAudioError("the model has an empty name: give --served-model-name a text")
        if any(not key.strip() or not key.isascii() for key in self.keys):
            raise MossAudioError("an API key is empty or not ASCII: give another")
        object.__setattr__(self, "origins", tuple(map(_origin, self.origins)))
        AllowedHosts.of(self.url_hosts)
        if self.vad not in VADS:
            raise MossAudioError(f"vad={self.vad!r}: give one of {', '.join(VADS)}")
        if not self.local and not self.keys and not self.insecure:
            raise MossAudioError(
                f"host {self.host}: others could reach the server without a key; give --api-key, "
                "or --insecure if that is meant"
            )

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


def _origin(text: str) -> str:
    """An origin as browsers write it: in small letters, without the port of its scheme."""
    lower = text.lower().removesuffix("/")
    if lower == "null":  # of pages that have none
        return lower
    parts = _ORIGIN.fullmatch(lower)
    if parts is None:
        raise MossAudioError(
            f"origin {text!r}: give scheme://host or scheme://host:port, such as "
            "https://example.org, for each page that may use the server; a * is not taken, since "
            "every page could use it then"
        )
    scheme, host, port = parts.group("scheme", "host", "port")
    return f"{scheme}://{host}{'' if (scheme, port) in _WITHOUT_SAYING else port or ''}"
