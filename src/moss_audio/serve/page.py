"""The page at `/`: files of this package, and headers that let it reach this server alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_FOLDER = "/page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Of the one style sheet that wavesurfer writes into its element, with the height of our waveform.
_WAVEFORM_STYLE = "sha256-Y/8t1dAKa3ay+RZEiEFEDr8dFiQhpaFvYXXUfT3p6ZU="
_POLICY = "; ".join(
    (
        "default-src 'self'",
        f"style-src 'self' '{_WAVEFORM_STYLE}'",
        "media-src 'self' blob:",  # what somebody chose or recorded
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Cache-Control": "no-cache",  # kept, but asked about each time: an upgrade is seen at once
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_page(path: str) -> bool:
    """Whether a path is the page's: it holds nothing secret, and asks for the key itself."""
    return path == "/" or path.startswith(f"{_FOLDER}/")


def page_routes() -> list[BaseRoute]:
    """Routes of the page and its files, which are read here and kept: 150 KB."""
    web = Path(__file__).with_name("web")
    found: list[BaseRoute] = [_route("/", web / "index.html")]
    for path in sorted(web.rglob("*")):
        if path.suffix in _TYPES and path.name != "index.html":
            found.append(_route(f"{_FOLDER}/{path.relative_to(web).as_posix()}", path))
    return found


def _route(at: str, path: Path) -> Route:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}

    async def answer(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if tag in known.replace("W/", "").replace(" ", "").split(","):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_TYPES[path.suffix], headers=headers)

    return Route(at, answer, methods=["GET"])
