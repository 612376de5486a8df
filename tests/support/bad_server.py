"""A server that misbehaves, one way a path: ``url("drip")`` is the base URL of one whose answers drip."""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bad_input import Case

KEY = "sk-a-key-that-nobody-may-see"


def good(body: dict[str, Any]) -> str:
    """What a sensible model says to each command's question."""
    prompt = body["messages"][0]["content"]
    if "judgements" in prompt:
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", prompt, re.MULTILINE)]
        rows = [{"number": n, "strategic": True, "function": "other", "reason": "=1+1"} for n in numbers]
        return json.dumps({"judgements": rows})
    return "Yes." if "Answer yes or no" in prompt else "Its plan is flawed. \\boxed{C}"


def completion(content: Any, **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}).encode()


BODIES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "good": lambda body: completion(good(body)),
    "unclear": lambda body: completion("I cannot say."),
    "choices-null": lambda body: b'{"choices": null}',
    "choices-text": lambda body: b'{"choices": "none"}',
    "choices-empty": lambda body: b'{"choices": []}',
    "choices-numbers": lambda body: b'{"choices": [1]}',
    "no-message": lambda body: b'{"choices": [{"index": 0}]}',
    "message-text": lambda body: b'{"choices": [{"message": "hello"}]}',
    "content-list": lambda body: completion([{"type": "text", "text": "yes"}]),
    "content-number": lambda body: completion(7),
    "content-null": lambda body: completion(None),
    "usage-null": lambda body: completion(good(body), usage=None),
    "usage-text": lambda body: completion(good(body), usage={"prompt_tokens": "many", "completion_tokens": -1}),
    "says-refused": lambda body: completion(good(body)).replace(b'"stop"', b'"refused"'),
    "half-characters": lambda body: completion(good(body) + " \ud83d"),
    "half-reason": lambda body: completion(good(body).replace("=1+1", "\\\\ud83d").replace("\\\\\\\\", "\\\\")),
    "list": lambda body: b"[1, 2]",
    "number": lambda body: b"7",
    "no-json": lambda body: b"<html>Bad gateway</html>",
    "latin-1": lambda body: "{'é'}".encode("latin-1"),
    "nested": lambda body: b'{"choices": ' + b"[" * 100_000,
    "digits": lambda body: b'{"choices": ' + b"9" * 10_000 + b"}",
    "empty": lambda body: b"",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        kind = self.path.split("/")[1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body.get("messages", [{"content": ""}])[0]["content"]
        if kind == "one-refused":
            kind = "refused" if "REFUSE ME" in prompt else "good"
        if kind in BODIES:
            self.answer(200, BODIES[kind](body))
        elif kind == "refused":
            self.answer(400, b'{"error": {"message": "this prompt is \\u001b[31mtoo long"}}')
        elif kind == "echo":  # as servers do with a wrong key
            self.answer(401, json.dumps({"error": f"wrong key {self.headers['Authorization']}"}).encode())
        elif kind == "later":
            self.answer(429, b'{"message": "too many"}', {"Retry-After": "7200"})
        elif kind == "gzip":
            self.answer(200, gzip.compress(bytes(17 << 20), 1), {"Content-Encoding": "gzip"})
        elif kind == "circle":
            self.answer(307, b"", {"Location": self.path})
        elif kind in ("head-drip", "continue"):
            head = b"HTTP/1.1 200 OK\r\n" if kind == "head-drip" else b""
            self.drip(head, b"X: y\r\n" if head else b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            piece, pause_s = {"endless": (1 << 20, 0), "drip": (1, 0.02), "silent": (1, 20)}[kind]
            self.stream(piece, pause_s)

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, piece: int, pause_s: float) -> None:
        """A body that has no end, comes in drops, or stops after the first one."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.drip(b"", b" " * piece, pause_s)

    def drip(self, first: bytes, then: bytes, pause_s: float = 0.05) -> None:
        """Bytes, then others again and again."""
        self.close_connection = True
        until = time.monotonic() + 30
        try:
            self.wfile.write(first)
            while time.monotonic() < until:
                self.wfile.write(then)
                time.sleep(pause_s)
        except OSError:
            pass  # the client has had enough

    def log_message(self, *args: Any) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has had enough of an answer."""


_server = _Server(("127.0.0.1", 0), _Handler)
threading.Thread(target=_server.serve_forever, daemon=True).start()


def url(kind: str, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{_server.server_address[1]}/{kind}/v1"


NO_MESSAGE = "its answer holds no choices[0].message"
FAULTS = {
    "choices-null": NO_MESSAGE,
    "choices-text": NO_MESSAGE,
    "choices-empty": NO_MESSAGE,
    "choices-numbers": NO_MESSAGE,
    "no-message": NO_MESSAGE,
    "message-text": NO_MESSAGE,
    "content-list": "its answer's choices[0].message.content is not text but a list",
    "content-number": "its answer's choices[0].message.content is not text but 7",
    "list": NO_MESSAGE,
    "number": NO_MESSAGE,
    "no-json": "its answer is not JSON",
    "latin-1": "its answer is not JSON",
    "nested": "its answer is not JSON",
    "digits": "its answer is not JSON",
    "empty": "its answer is not JSON",
    "endless": "its answer is longer than 16 MiB",
    "gzip": "its answer is longer than 16 MiB",
    "head-drip": "its answer was not whole after 0.2 s (--timeout-s)",
    "continue": "its answer was not whole after 0.2 s (--timeout-s)",
    "silent": "its answer was not whole after 0.2 s (--timeout-s)",
    "drip": "its answer was not whole after 0.2 s (--timeout-s)",
    "later": "it asks to wait 7,200 s, longer than --timeout-s 0.2; try again then",
    "circle": "TooManyRedirects",
    "echo": "answers 401: wrong key Bearer [hidden]",
}


def endpoint_cases(words: list[str], files: dict[str, Any], kinds: list[str] | None = None) -> list[Case]:
    """A case for each way to misbehave, of a command that asks; ``words`` lack ``--base-url``."""

    def nothing_secret(folder: Any, printed: str) -> None:
        assert KEY not in printed
        for path in folder.rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes()

    quick = ["--timeout-s", "0.2", "--concurrency", "2"]
    cases = [
        Case(
            f"the server: {kind}",
            [*words, "--base-url", url(kind), *quick],
            (FAULTS[kind], "Every answer so far is saved"),
            files,
            after=nothing_secret,
            env={"OPENAI_API_KEY": KEY},
        )
        for kind in (kinds or FAULTS)
    ]
    ranges = {
        "--concurrency": ["0", "-1", "100000"],
        "--timeout-s": ["0", "-1", "nan", "inf", "1e300"],
        "--per-minute": ["-1", "nan", "inf", "1e-300"],
    }
    cases += [
        Case(
            f"{option} {value}",
            [*words, "--base-url", url("good"), option, value],
            (f"field '{option}'", "expected a number from"),
            files,
        )
        for option, values in ranges.items()
        for value in (values if kinds is None else values[:1])
    ]
    secret = ("127.0.0.1",) if kinds is None else ()
    cases.append(
        Case(
            "httpx is not installed",
            [*words, "--base-url", url("good")],
            ("this needs the package httpx, which is not installed", "pip install"),
            files,
            prepare=lambda folder: without("httpx"),
        )
    )
    cases += [
        Case(
            "a password in --base-url",
            [*words, "--base-url", "http://ann:hunter2@127.0.0.1:9/v1", *quick],
            secret,
            files,
            after=lambda folder, printed: _absent("hunter2", printed),
        ),
        Case(
            "a --base-url that is none",
            [*words, "--base-url", "ftp://ann:hunter2@x"],
            ("field '--base-url'", "http://localhost:8000/v1"),
            files,
            after=lambda folder, printed: _absent("hunter2", printed),
        ),
        Case(
            "a key that no header takes",
            [*words, "--base-url", url("good")],
            ("OPENAI_API_KEY", "set it anew"),
            files,
            env={"OPENAI_API_KEY": "sk-\nschlüssel"},
        ),
    ]
    return cases


def without(module: str) -> Callable[[], None]:
    """Take a package away, as if it were not installed; returns what brings it back."""
    known = sys.modules.get(module)
    sys.modules[module] = None  # type: ignore[assignment]

    def undo() -> None:
        del sys.modules[module]
        if known is not None:
            sys.modules[module] = known

    return undo


def _absent(secret: str, printed: str) -> None:
    assert secret not in printed
