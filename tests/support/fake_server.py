"""An OpenAI-compatible chat server for tests, on the loopback address, with faults on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Refused(Exception):
    """Answered as vLLM answers a prompt that is too long: 400 with a message."""


class FakeServer:
    """Answers chat completions with ``reply(body)``; ``fault(n)`` may spoil the n-th request.

    A fault is "400", "429", "500", "hang", "malformed", or None. ``asked`` holds the bodies of the answered requests.
    With ``tokens``, ``/tokenize`` answers as vLLM's does; without, it is absent, as elsewhere. A ``reply`` may raise
    ``Refused`` for a request that the server does not take.
    """

    def __init__(
        self,
        reply: Callable[[dict[str, Any]], str],
        fault: Callable[[int], str | None] = lambda n: None,
        tokens: dict[str, list[int]] | None = None,
    ) -> None:
        self.asked: list[dict[str, Any]] = []
        self.requests = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/tokenize":
                    found = {"tokens": (tokens or {}).get(body["prompt"])}
                    self.answer(404 if tokens is None else 200, json.dumps(found).encode())
                    return
                with lock:
                    server.requests += 1
                    spoilt = fault(server.requests)
                if spoilt == "hang":
                    time.sleep(3)
                if spoilt in ("400", "429", "500", "hang"):
                    self.answer(int(spoilt) if spoilt != "hang" else 503, b'{"error": {"message": "spoilt"}}')
                elif spoilt == "malformed":
                    self.answer(200, b'{"choices": [')
                else:
                    try:
                        content = reply(body)
                    except Refused as error:
                        self.answer(400, json.dumps({"error": {"message": str(error)}}).encode())
                        return
                    with lock:
                        server.asked.append(body)
                    message = {"role": "assistant", "content": content}
                    whole = {
                        "id": "x",
                        "object": "chat.completion",
                        "created": 0,
                        "model": body["model"],
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 1, "completion_tokens": len(content.split()), "total_tokens": 2},
                    }
                    self.answer(200, json.dumps(whole).encode())

            def answer(self, code: int, data: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if code == 429:
                    self.send_header("Retry-After", "0.1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
