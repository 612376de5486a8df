"""Asking an OpenAI-compatible server many questions at once, without losing an answer that has been given."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from hicra_verl.errors import HicraError

REFUSED = "refused"
"""The ``finish_reason`` of a question that the server would not take, where such are kept."""


class EndpointError(HicraError):
    """The server does not answer; the message says what was asked of it and what to do."""


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
        timeout_s: of one request.
        retries: after time-outs, 429, 5xx and malformed answers; the client's pauses grow and heed Retry-After.
        api_key: if None, OPENAI_API_KEY, else none.
        per_minute: requests begun a minute, at most; 0 for no limit.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        concurrency: int = 64,
        timeout_s: float = 3600,
        retries: int = 5,
        api_key: str | None = None,
        per_minute: float = 0,
    ) -> None:
        from openai import OpenAI

        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self.client = OpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=retries)
        self.base_url, self.model, self.concurrency, self.retries = base_url, model, concurrency, retries
        self._pause_s = 60 / per_minute if per_minute else 0.0
        self._next_turn = 0.0
        self._turns = threading.Lock()

    def _wait_for_turn(self) -> None:
        if self._pause_s:
            with self._turns:
                now = time.monotonic()
                turn = max(now, self._next_turn)
                self._next_turn = turn + self._pause_s
            time.sleep(turn - now)

    def ask(self, question: Question) -> Answer:
        """Ask one question."""
        self._wait_for_turn()
        whole = self._until_well_formed(
            lambda: self.client.chat.completions.create(
                model=self.model, messages=question.messages, **question.arguments
            )
        )
        choice, usage = whole.choices[0], whole.usage
        return Answer(
            choice.message.content or "",
            str(choice.finish_reason),
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
        )

    def _until_well_formed(self, ask: Callable[[], Any]) -> Any:
        """The client retries faults of the connection and of the server, but not an answer that is no JSON."""
        for left in reversed(range(self.retries + 1)):
            try:
                answer = ask()
                if getattr(answer, "choices", None):
                    return answer
                raise ValueError("the answer holds no choices")
            except ValueError:
                if left == 0:
                    raise

    def token_ids(self, text: str) -> list[int] | None:
        """The ids of a text's tokens, where the server says them (vLLM's ``/tokenize``), else None."""
        from openai import APIStatusError, OpenAIError

        url = self.base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        try:
            answer = self.client.post(url, cast_to=dict[str, Any], body=body)
        except (APIStatusError, ValueError):
            return None
        except OpenAIError as error:
            raise EndpointError(f"{self.base_url}: {type(error).__name__}: {error}") from error
        return answer.get("tokens") if isinstance(answer, dict) else None

    def ask_all(self, questions: Iterable[Question], keep_refusals: bool = False) -> Iterator[tuple[int, Answer]]:
        """Ask all; yield (place of the question, answer) as they come. Questions are taken as they are asked.

        Args:
            questions: what to ask.
            keep_refusals: let a question that the server refuses (400, 413 or 422: too long, say) be answered by
                ``finish_reason`` REFUSED and the server's message as text, rather than end the asking.

        Raises:
            EndpointError: once the server has failed for good; what was in flight then has been yielded before.
        """
        from openai import APIStatusError, OpenAIError

        waiting = enumerate(questions)
        with ThreadPoolExecutor(self.concurrency) as threads:
            running: dict[Future[Answer], int] = {}
            failure: Exception | None = None
            while True:
                while failure is None and len(running) < self.concurrency:
                    place, question = next(waiting, (None, None))
                    if place is None or question is None:
                        break
                    running[threads.submit(self.ask, question)] = place
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    try:
                        yield place, future.result()
                    except (OpenAIError, ValueError) as error:
                        if keep_refusals and isinstance(error, APIStatusError) and error.status_code in (400, 413, 422):
                            yield place, Answer(str(error), REFUSED, 0, 0)
                        else:
                            failure = failure or error
            if failure is not None:
                raise EndpointError(
                    f"{self.base_url}: {type(failure).__name__}: {failure}. Every answer so far is saved; when the "
                    "server answers again, the same command asks for the missing ones."
                )
