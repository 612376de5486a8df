"""Asking an OpenAI-compatible server many questions at once, without losing an answer that has been given."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from hicra_verl.bounded_http import client, post
from hicra_verl.errors import HicraError
from hicra_verl.records import short
from hicra_verl.redact import HIDDEN, redact

T = TypeVar("T")

REFUSED = "refused"
"""The ``finish_reason`` of a question that the server would not take, where such are kept."""
REFUSALS = (400, 413, 422)  # too long a prompt, say: another try gets the same
TRANSIENT = (408, 409, 429)  # and all from 500: another try may succeed
MAX_ANSWER_BYTES = 16 << 20  # ours; the longest answers take about a hundredth
MAX_SHOWN = 500  # characters of what a server says, in a message


class EndpointError(HicraError):
    """The server does not answer; the message says what was asked of it and what to do."""


class _Fault(Exception):
    """One request that brought no answer; ``wait_s`` is None where another try is of no use."""

    def __init__(self, problem: str, wait_s: float | None = None, status: int | None = None) -> None:
        super().__init__(problem)
        self.wait_s, self.status = wait_s, status


@dataclass(frozen=True)
class Question:
    """One chat to complete: its messages, and further arguments of the request (temperature, seed…)."""

    messages: Any
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One completion; the token counts are the server's, 0 where it gives none."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Endpoint:
    """An OpenAI-compatible server.

    Args:
        base_url: such as http://localhost:8000/v1.
        model: the name the server gives it.
        concurrency: requests in flight.
        timeout_s: of one request, from the connection to the end of the answer.
        retries: after time-outs, 429, 5xx and malformed answers; the pauses grow and heed Retry-After.
        per_minute: requests begun a minute, at most; 0 for no limit.

    Raises:
        EndpointError: if an argument is out of range; no message holds a password or the key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        concurrency: int = 64,
        timeout_s: float = 3600,
        retries: int = 5,
        per_minute: float = 0,
    ) -> None:
        import httpx

        _check_range("--concurrency", concurrency, 1, 1024)
        _check_range("--timeout-s", timeout_s, 0.01, 7 * 86_400)
        if per_minute != 0:
            _check_range("--per-minute", per_minute, 0.01, 1e6)
        key = (os.environ.get("OPENAI_API_KEY") or "none").strip()
        if not (key.isascii() and key.isprintable()):
            raise EndpointError("holds characters that no key has", field="OPENAI_API_KEY", remedy="set it anew")
        self._secrets = [key] if key != "none" else []
        try:
            url = httpx.URL(base_url)
            self._secrets += [url.password] if len(url.password) > 3 else []
            if url.scheme not in ("http", "https") or not url.host:
                raise httpx.InvalidURL("no http:// or https:// address")
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            self._http = client(concurrency, timeout_s, headers)
        except (httpx.InvalidURL, ValueError, OSError) as error:
            problem, remedy = self._said(f"{base_url}: {error}"), "give an address such as http://localhost:8000/v1"
            raise EndpointError(problem, field="--base-url", remedy=remedy) from None
        self.base_url, self.model, self.concurrency = base_url.rstrip("/"), model, concurrency
        self.timeout_s, self.retries = timeout_s, retries
        self.shown = self._said(self.base_url)
        self._pause_s = 60 / per_minute if per_minute else 0.0
        self._next_turn = 0.0
        self._turns = threading.Lock()

    def _said(self, text: str) -> str:
        """A text from outside, as a message may show it: no secret, nothing that steers a terminal, not too long."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_SHOWN])
        text = " ".join(redact(text).split())
        return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"

    def _wait_for_turn(self) -> None:
        if self._pause_s:
            with self._turns:
                now = time.monotonic()
                turn = max(now, self._next_turn)
                self._next_turn = turn + self._pause_s
            time.sleep(turn - now)

    def _ask(self, question: Question) -> Answer:
        arguments = {key: value for key, value in question.arguments.items() if key != "extra_body"}
        extra = question.arguments.get("extra_body", {})
        body = {"model": self.model, "messages": question.messages, **arguments, **extra}
        return self._retrying(lambda: read_completion(self._post(f"{self.base_url}/chat/completions", body)))

    def _retrying(self, ask: Callable[[], T]) -> T:
        for left in reversed(range(self.retries)):
            try:
                return ask()
            except _Fault as fault:
                if fault.wait_s is None:
                    raise
                growing = min(8.0, self.timeout_s, 0.5 * 2 ** (self.retries - 1 - left)) * random.uniform(0.75, 1)
                time.sleep(growing if fault.wait_s < 0 else fault.wait_s)
        return ask()

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        """The JSON that a server answers.

        Raises:
            _Fault: if it answers none, none in time, or too long a one.
        """
        import httpx

        self._wait_for_turn()
        try:
            response, held = post(self._http, url, json.dumps(body), self.timeout_s, MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise _Fault(f"its answer was not whole after {self.timeout_s:g} s (--timeout-s)", -1) from error
        except BufferError as error:
            raise _Fault(f"its answer is longer than {MAX_ANSWER_BYTES >> 20} MiB") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Fault(self._said(f"{type(error).__name__}: {error}"), -1) from error
        if response.status_code >= 400:
            raise self._status(response.status_code, held, response.headers.get("Retry-After", ""))
        try:
            return json.loads(held)
        except (ValueError, RecursionError) as error:
            raise _Fault(f"its answer is not JSON ({self._said(str(error))})", 0) from error

    def _status(self, status: int, body: bytes, retry_after: str) -> _Fault:
        """What an answer with an error's status says, and whether to try again."""
        said = self._said(_message_in(body)) or "nothing more"
        if status not in TRANSIENT and status < 500:
            return _Fault(f"answers {status}: {said}", None, status)
        wait_s = float(retry_after) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", retry_after, re.ASCII) else -1.0
        if wait_s > self.timeout_s:
            late = f"it asks to wait {wait_s:,.0f} s, longer than --timeout-s {self.timeout_s:g}; try again then"
            return _Fault(f"answers {status}: {said} ({late})", None, status)
        return _Fault(f"answers {status}: {said}", wait_s, status)

    def token_ids(self, text: str) -> list[int] | None:
        """The ids of a text's tokens, where the server says them (vLLM's ``/tokenize``), else None."""
        url = self.base_url.removesuffix("/v1") + "/tokenize"
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        try:
            answer = self._retrying(lambda: self._post(url, body))
        except _Fault as fault:
            if fault.status is None and fault.wait_s != 0:
                raise EndpointError(f"{self.shown}: {fault}") from fault
            return None
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        return tokens if isinstance(tokens, list) and all(type(token) is int for token in tokens) else None

    def ask_all(self, questions: Iterable[Question], keep_refusals: bool = False) -> Iterator[tuple[int, Answer]]:
        """Ask all; yield (place of the question, answer) as they come. Questions are taken as they are asked.

        Args:
            questions: what to ask.
            keep_refusals: let a question that the server refuses (400, 413 or 422: too long, say) be answered by
                ``finish_reason`` REFUSED and the server's message as text, rather than end the asking.

        Raises:
            EndpointError: once the server has failed for good; what was in flight then has been yielded before.
        """
        waiting = enumerate(questions)
        with ThreadPoolExecutor(self.concurrency) as threads:
            running: dict[Future[Answer], int] = {}
            failure: _Fault | None = None
            while True:
                while failure is None and len(running) < self.concurrency:
                    place, question = next(waiting, (None, None))
                    if place is None or question is None:
                        break
                    running[threads.submit(self._ask, question)] = place
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    try:
                        yield place, future.result()
                    except _Fault as fault:
                        if keep_refusals and fault.status in REFUSALS:
                            yield place, Answer(str(fault), REFUSED, 0, 0)
                        else:
                            failure = failure or fault
            if failure is not None:
                raise EndpointError(
                    f"{self.shown}: {failure}. Every answer so far is saved; when the server answers again, the same "
                    "command asks for the missing ones."
                )


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise EndpointError(f"expected a number from {low:g} to {high:g}, got {value}", field=option)


def read_completion(data: Any) -> Answer:
    """The first choice of a chat completion, as a server may send it.

    Raises:
        _Fault: if it holds no message with text.
    """
    try:
        choice = data["choices"][0]
        content = choice["message"].get("content")
        reason, usage = choice.get("finish_reason"), data.get("usage")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise _Fault("its answer holds no choices[0].message", 0) from error
    if not isinstance(content, str | None):
        raise _Fault(f"its answer's choices[0].message.content is not text but {short(content)}", 0)
    counts = [usage.get(f"{kind}_tokens") if isinstance(usage, dict) else 0 for kind in ("prompt", "completion")]
    prompt, completion = (count if type(count) is int and 0 <= count < 2**53 else 0 for count in counts)
    reason = "refusal" if reason == REFUSED else reason  # theirs: the model's, not the server's
    return Answer(whole_characters(content or ""), reason if isinstance(reason, str) else "None", prompt, completion)


def whole_characters(text: str) -> str:
    """The text with "�" for each half of a character, which no file takes."""
    return re.sub("[\ud800-\udfff]", "�", text)


def _message_in(body: bytes) -> str:
    """What an error says: its ``error.message`` or ``message``, or all of it."""
    text = body[: 4 * MAX_SHOWN].decode("utf-8", "replace")
    with suppress(ValueError, RecursionError, AttributeError):
        said = json.loads(body)
        said = said.get("error", said)
        said = said.get("message", said) if isinstance(said, dict) else said
        return said if isinstance(said, str) else text
    return text
