"""One GET over http(s): every address is checked before it is dialled, and what was checked is what
is dialled.

A name is resolved once and the connection goes to one of the addresses found, so that a second
answer of the name server changes nothing. Redirects are followed here, each checked like the first
address. Private to the audio loader and to the server.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import re
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moss_audio.errors import AudioError, MossAudioError
from moss_audio.recordings.names import printable

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9.])?", re.ASCII)
_PLAIN = re.compile(r"[!-\[\]-~]+", re.ASCII)  # no space, no control character, no backslash
_SAFE = "%/:=&?~+!$,;'@()*[]"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_AGENT = {"User-Agent": "moss-audio", "Connection": "close", "Accept-Encoding": "identity"}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressError(AudioError):
    """An address that is malformed or must not be fetched."""


@dataclass(frozen=True)
class WebAddress:
    """The parts of an http(s) address.

    Attributes:
        host: lower case, without brackets, international names in their ASCII form.
        target: path and query, percent-encoded.
        login: what stands before `@`, if that is there; never sent to another address.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> WebAddress:
        """Raises AddressError for what is no http(s) address."""
        try:
            parts = urllib.parse.urlsplit(url.strip())
            scheme, host = parts.scheme.lower(), parts.hostname or ""
            if scheme not in _PORTS:
                raise AddressError("this is not an http(s) address")
            port = _PORTS[scheme] if parts.port is None else parts.port
            if not host.isascii():
                host = host.encode("idna").decode("ascii").lower()
        except ValueError as error:  # a port out of range, half a bracket, a label that is too long
            raise AddressError(f"this is not an address: {error}") from None
        if not _HOST.fullmatch(host) and ip_of(host) is None:
            raise AddressError("the address names no host")
        target = urllib.parse.quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + urllib.parse.quote(parts.query, safe=_SAFE)
        login, at, _ = parts.netloc.rpartition("@")
        return cls(scheme, host, port, target, login if at else None)

    @property
    def place(self) -> str:
        """The host as in an address, with the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def joined(self, location: str) -> WebAddress:
        """Where a redirect leads. Raises AddressError where that is not http(s)."""
        location = urllib.parse.quote(location, safe=_SAFE + "#", encoding="latin-1")
        try:
            url = urllib.parse.urljoin(f"{self.scheme}://{self.place}{self.target}", location)
        except ValueError:
            url = ""
        try:
            return WebAddress.parse(url)
        except AddressError:
            raise AddressError("redirects to an address that is not http(s)") from None


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts whose addresses strangers may have fetched, each with its port.

    A host is named as a name, `host` (ports 80 and 443) or `host:port`, and everything it resolves
    to has to be a public address; or as an address of its own (`127.0.0.1`, `10.1.2.3:9000`,
    `[::1]`) or `localhost`, which may be private, since it was named on purpose.

    Raises:
        MossAudioError: for what names no host.
    """

    names: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> AllowedHosts:
        names: set[str] = set()
        for text in texts:
            try:
                address = WebAddress.parse(f"http://{text}")
                bare = bool(_PLAIN.fullmatch(text)) and not set(text) & set("/?#@")
            except AddressError:
                bare = False
            if not bare:
                raise MossAudioError(
                    f"{text!r} names no host: give a name such as media.example.org, with a port "
                    "after a colon where it is not 80 or 443"
                )
            one = urllib.parse.urlsplit(f"//{text}").port is not None
            ports = (address.port,) if one else _PORTS.values()
            names.update(f"{address.host} {port}" for port in ports)
        return cls(frozenset(names))

    def check(self, url: str) -> None:
        """Raises AddressError for a host that was not named, and for the forms in which an address
        could be read in two ways."""
        if not _PLAIN.fullmatch(url):
            raise AddressError("the address has a character that does not belong into one")
        self.may_be_private(WebAddress.parse(url))

    def may_be_private(self, address: WebAddress) -> bool:
        """Whether a host was named as an address.

        Raises:
            AddressError: for a host or a port that was not named, or one with a user before it.
        """
        if address.login is not None or f"{address.host} {address.port}" not in self.names:
            raise AddressError("this host is not among those that the server may ask")
        return address.host == "localhost" or ip_of(address.host) is not None


def ip_of(host: str) -> IpAddress | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: IpAddress) -> bool:
    """Whether an address is anybody's to reach: not this machine, not a private network, nor one
    of these inside an IPv6 address that stands for it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def get(
    url: str, timeout_s: float, allowed: AllowedHosts | None = None
) -> http.client.HTTPResponse:
    """The answer to a GET, its body not read yet; closing it closes the connection.

    Args:
        timeout_s: of each step on the network.
        allowed: what may be fetched for a stranger, without proxies. None: the address is the
            user's own and may be private; but where a public host answered, no redirect leads
            to a private one. Proxies of the environment are used.

    Raises:
        AddressError: for an address that must not be fetched.
        AudioError: for an answer that is no file.
        OSError, http.client.HTTPException: where the network or the server fails.
    """
    if allowed is not None:
        allowed.check(url)
    address = WebAddress.parse(url)
    login, public = address.login, False
    for _ in range(MOST_REDIRECTS + 1):
        proxy = _proxy(address) if allowed is None else None
        private = not public if allowed is None else allowed.may_be_private(address)
        if proxy is not None:
            literal = ip_of(address.host)
            here = address.host == "localhost" or (literal is not None and not is_public(literal))
            if here and not private:
                raise AddressError("redirects from a public address to a private one")
            public = public or not here
            response = _through(proxy, address, timeout_s, login)
        else:
            found = _resolved(address)
            known = all(is_public(ip) for ip, _ in found)
            if not known and not private:
                raise AddressError(
                    "redirects from a public address to a private one" if allowed is None else
                    "this host has an address that is not public"
                )  # fmt: skip
            public = public or known
            response = _asked(_dialled(address, found, timeout_s), address, address.target, login)
        location = response.headers.get("Location")
        if response.status not in _REDIRECTS or location is None:
            break
        response.close()
        address, login = address.joined(location), None
    else:
        raise AddressError(f"redirects more than {MOST_REDIRECTS} times")
    if not 200 <= response.status < 300:
        response.close()
        raise AudioError(f"the server answered {response.status} {printable(response.reason)}")
    return response


def _resolved(address: WebAddress) -> list[tuple[IpAddress, Any]]:
    """All addresses of a host, each with what a socket needs to dial it."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [(ipaddress.ip_address(one[4][0]), one) for one in found]


def _dialled(
    address: WebAddress, found: list[tuple[IpAddress, Any]], timeout_s: float
) -> http.client.HTTPConnection:
    """A connection to the first of the addresses that can be reached."""
    failure: OSError = OSError("the name has no address")
    for _, (family, kind, proto, _, where) in found:
        dialled = socket.socket(family, kind, proto)
        try:
            dialled.settimeout(timeout_s)
            dialled.connect(where)
            if address.scheme == "https":
                context = ssl.create_default_context()
                dialled = context.wrap_socket(dialled, server_hostname=address.host)
        except OSError as error:
            dialled.close()
            failure = error
            continue
        made = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
        made.sock = dialled
        return made
    raise failure


def _asked(
    connection: http.client.HTTPConnection, address: WebAddress, target: str, login: str | None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:  # fmt: skip
    headers = _AGENT | {"Host": address.place} | (headers or {})
    if login:
        headers["Authorization"] = _basic(login)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
    except BaseException:
        connection.close()
        raise
    if connection.sock is not None:  # a server that would keep it open
        connection.sock.close()  # (for good once the response is closed)
        connection.sock = None
    return response


def _proxy(address: WebAddress) -> WebAddress | None:
    """The proxy that the environment names for an address."""
    named = urllib.request.getproxies().get(address.scheme)
    if not named or urllib.request.proxy_bypass(address.place):
        return None
    return WebAddress.parse(f"http://{named.rpartition('://')[2]}")


def _through(
    proxy: WebAddress, address: WebAddress, timeout_s: float, login: str | None
) -> http.client.HTTPResponse:
    own = {"Proxy-Authorization": _basic(proxy.login)} if proxy.login else {}
    if address.scheme == "http":
        plain = http.client.HTTPConnection(proxy.host, proxy.port, timeout=timeout_s)
        return _asked(plain, address, f"http://{address.place}{address.target}", login, own)
    tunnel = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=timeout_s)
    tunnel.set_tunnel(address.host, address.port, own)
    return _asked(tunnel, address, address.target, login)


def _basic(login: str) -> str:
    data = urllib.parse.unquote_to_bytes(login)
    return f"Basic {base64.b64encode(data).decode('ascii')}"
