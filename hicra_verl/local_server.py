"""Servers for this machine alone: only who knows the address, which holds a random token, is answered."""

from __future__ import annotations

import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.1"
IDLE_S = 20  # a connection that says nothing for so long is closed
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
}


class LocalServer(ThreadingHTTPServer):
    """Listens on loopback.

    Args:
        handler: a subclass of ``LocalHandler``.
        port: 0 for any free one.
    """

    daemon_threads = True

    def __init__(self, handler: type[LocalHandler], port: int) -> None:
        self.token = secrets.token_urlsafe(16)
        super().__init__((LOOPBACK, port), handler)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class LocalHandler(BaseHTTPRequestHandler):
    """Knows which requests come from the page itself.

    Attributes:
        policy: the page's content security policy.
    """

    timeout = IDLE_S
    server: LocalServer
    policy = "default-src 'none'"

    def is_ours(self) -> bool:
        """Whether the request knows the token, and comes from the page itself."""
        hosts = [f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")]
        start = f"/{self.server.token}/"
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "same-origin")
        return (
            self.headers.get("Host") in hosts
            and origin in (None, *(f"http://{host}" for host in hosts))
            and site in ("same-origin", "none")
            and secrets.compare_digest(self.path[: len(start)].encode(), start.encode())
        )

    def answer(self, status: int, body: str | bytes, kind: str = "text/plain") -> None:
        """Send an answer; text as UTF-8."""
        content = body if isinstance(body, bytes) else body.encode("utf-8", errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in {**HEADERS, "Content-Security-Policy": self.policy}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # a line for each request helps nobody
