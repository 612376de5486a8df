"""Requests over HTTP that end in time and hold little, whatever the server does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5  # ours; http to https, and a server that has moved, are two


class Deadline:
    """The end of one request; entered, it hangs up on the server once the time is over.

    A client's own limit is of silence, which headers or a body that come in drops never meet.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._timer.cancel()

    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The ``trace`` extension of the request: learns of each connection that it opens."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            if self.passed():  # the timer found nothing to hang up
                self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError, AttributeError):  # it has ended by itself, or is not open yet
            self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def client(concurrency: int, timeout_s: float, headers: Mapping[str, str]) -> httpx.Client:
    """A client for ``post``. It opens a connection for each request: only of a new one does a ``Deadline`` learn."""
    import httpx

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=0)
    return httpx.Client(
        timeout=timeout_s, limits=limits, headers=dict(headers), follow_redirects=True, max_redirects=MAX_REDIRECTS
    )


def post(http: httpx.Client, url: str, content: str, seconds: float, most_bytes: int) -> tuple[httpx.Response, bytes]:
    """What a server answers: the response, closed, and its body.

    Raises:
        TimeoutError: if the answer is not whole in time.
        BufferError: if it is longer than ``most_bytes``.
        httpx.HTTPError: if there is none; ``httpx.InvalidURL`` on a redirection to nowhere.
    """
    import httpx

    held = bytearray()
    with Deadline(seconds) as deadline:
        try:
            with http.stream("POST", url, content=content, extensions={"trace": deadline.trace}) as response:
                for chunk in response.iter_bytes():
                    held += chunk
                    if len(held) > most_bytes:
                        raise BufferError
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if isinstance(error, httpx.TimeoutException) or deadline.passed():
                raise TimeoutError from error
            raise
        if deadline.passed():
            raise TimeoutError
    return response, bytes(held)
