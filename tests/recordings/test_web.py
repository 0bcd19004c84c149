"""Fetching from the web: what is dialled, where redirects may lead, proxies, passwords."""

from __future__ import annotations

import http.server
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import AudioError, MossAudioError
from moss_audio.recordings import FetchLimits, load_audio, web
from moss_audio.recordings.download import fetch
from moss_audio.recordings.web import AddressError, AllowedHosts, WebAddress, is_public
from tests.recordings.test_audio import pcm_wav, tone
from tests.web_server import serving

WAV = pcm_wav(tone(0.1, 16_000), 16_000)


class Answers(http.server.BaseHTTPRequestHandler):
    """Redirects `/to/X` to X; all else is the file. Notes what it is asked."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        location = self.path.partition("/to/")[2]
        if self.path == "/loop":
            location = "/loop"
        self.send_response(302 if location else 200)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(0 if location else len(WAV)))
        self.end_headers()
        if not location:
            self.wfile.write(WAV)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Answers) as place:
        yield place


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    monkeypatch.setenv("no_proxy", "*")
    Answers.asked = []
    return Answers.asked


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names of hosts and their addresses, one after another as they are asked for; what is dialled
    is this machine, whatever the address."""
    names: dict[str, list[str]] = {}
    resolved, connect = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in names:
            return resolved(host, port, *args, **options)
        address = names[host][0] if len(names[host]) == 1 else names[host].pop(0)
        return resolved(address, port, *args, **options)

    def dial(self: socket.socket, where: Any) -> None:
        connect(self, ("127.0.0.1", where[1]))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", dial)
    return names


def test_what_is_public() -> None:
    for text in ("93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"):
        assert is_public(ipaddress.ip_address(text)), text
    for text in (
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
        "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fe80::1%eth0",
    ):  # fmt: skip
        assert not is_public(ipaddress.ip_address(text)), text


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_the_same_address(address: ipaddress.IPv4Address) -> None:
    for network in ("::ffff:0:0", "64:ff9b::", "2002::"):
        first = int(ipaddress.IPv6Address(network))
        inside = int(address) << (80 if network == "2002::" else 0)
        assert is_public(ipaddress.IPv6Address(first + inside)) == is_public(address)


def test_a_users_own_redirects_may_stay_in_his_network(server: str) -> None:
    assert load_audio(f"http://{server}/to/http://{server}/a.wav").duration_s == 0.1
    assert load_audio(f"http://{server}/to//{server}/b.wav").duration_s == 0.1


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/a", "http://localhost:{port}/a", "http://2130706433:{port}/a",
     "http://0x7f.1:{port}/a", "http://[::ffff:127.0.0.1]:{port}/a", "http://inner.test:{port}/a",
     "http://169.254.169.254/latest", "http://[::1]:{port}/a", "//127.1:{port}/a",
     "file:///etc/passwd", "ftp://127.0.0.1:{port}/a", "gopher://127.0.0.1:{port}/_a",
     "data:audio/wav;base64,AAAA", "\\\\127.0.0.1:{port}\\a"],
)  # fmt: skip
def test_no_redirect_leads_from_a_public_host_to_a_private_one(
    server: str, public: dict[str, list[str]], asked: list[Any], target: str
) -> None:
    public |= {"outer.test": ["93.184.216.34"], "inner.test": ["10.0.0.1"]}
    port = server.rpartition(":")[2]
    with pytest.raises(AudioError, match=r"redirects|no host"):
        load_audio(f"http://outer.test:{port}/to/" + target.format(port=port))
    assert {headers["Host"] for _, headers in asked} == {f"outer.test:{port}"}


def test_a_redirect_to_another_public_host_is_followed(
    server: str, public: dict[str, list[str]], asked: list[Any]
) -> None:
    public |= {"outer.test": ["93.184.216.34"], "other.test": ["8.8.8.8"]}
    port = server.rpartition(":")[2]
    url = f"http://me:word@outer.test:{port}/to/http://other.test:{port}/a.wav?b=c%20d"
    assert load_audio(url).duration_s == 0.1
    (_, first), (path, second) = asked
    assert path == "/a.wav?b=c%20d"
    assert first["Authorization"].startswith("Basic ")
    assert "Authorization" not in second
    assert second["Host"] == f"other.test:{port}"


def test_redirects_end(server: str, asked: list[Any]) -> None:
    with pytest.raises(AddressError, match="more than 5 times"):
        load_audio(f"http://{server}/loop")
    assert len(asked) == 6


def test_a_name_is_resolved_once(public: dict[str, list[str]], server: str) -> None:
    """A second answer of the name server is never asked for."""
    public["rebound.test"] = ["93.184.216.34", "127.0.0.1"]
    port = server.rpartition(":")[2]
    allowed = AllowedHosts.of([f"rebound.test:{port}"])
    fetch(f"http://rebound.test:{port}/a", "a", FetchLimits(), allowed)[0].close()
    assert public["rebound.test"] == ["127.0.0.1"]


def test_one_private_address_among_several_is_one_too_many(
    monkeypatch: pytest.MonkeyPatch, server: str, asked: list[Any]
) -> None:
    def both(*_: Any, **__: Any) -> Any:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        port = int(server.rpartition(":")[2])
        return [(*kind, ("93.184.216.34", port)), (*kind, ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(AddressError, match="not public"):
        web.get("http://mixed.test/a", 1.0, AllowedHosts.of(["mixed.test"]))
    assert not asked


def test_hosts_are_named_with_their_ports() -> None:
    allowed = AllowedHosts.of(["a.test", "b.test:8080", "127.0.0.1:9", "[::1]:9", "localhost"])
    for url, private in (
        ("http://a.test/x", False),
        ("https://A.TEST:443/x", False),
        ("http://b.test:8080/", False),
        ("http://127.0.0.1:9/", True),
        ("http://[::1]:9/", True),
        ("https://localhost/", True),
    ):
        assert allowed.may_be_private(WebAddress.parse(url)) == private
    for url in ("http://a.test:22/", "http://b.test/", "http://127.0.0.1/", "http://xa.test/"):
        with pytest.raises(AddressError, match="not among"):
            allowed.check(url)
    for text in ("", "http://a.test", "a.test/x", "u@a.test", "a b", "a.test:99999", "[::1", "é"):
        with pytest.raises(MossAudioError, match="names no host"):
            AllowedHosts.of([text])


def test_proxies_are_the_users_and_not_the_servers(
    monkeypatch: pytest.MonkeyPatch, server: str, asked: list[Any]
) -> None:
    """The server stands for the proxy: nothing else is at these names."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:word@{server}")
    assert load_audio("http://nowhere.invalid/a.wav").duration_s == 0.1
    path, headers = asked.pop()
    assert path == "http://nowhere.invalid/a.wav"
    assert headers["Proxy-Authorization"] == "Basic bWU6d29yZA=="
    with pytest.raises(AddressError, match="private"):
        load_audio("http://nowhere.invalid/to/http://127.0.0.1/a.wav")
    asked.clear()
    with pytest.raises(AudioError):
        fetch("http://nowhere.invalid/a", "a", FetchLimits(timeout_s=5),
              AllowedHosts.of(["nowhere.invalid"]))  # fmt: skip
    assert not asked
