"""What is asked of an engine, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.benchmarks import EvaluationError, Item


@dataclass(frozen=True)
class Sampling:
    """How to sample; what the paper does not print is marked in the command's help.

    Attributes:
        stop: texts that end a response, besides the model's own end token; they are not part of it.
        template_arguments: for the chat template.

    Raises:
        EvaluationError: if one is out of range.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: list[str] = field(default_factory=list)
    template_arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, fits, wanted in (
            ("--temperature", self.temperature, 0 <= self.temperature <= 100, "a number from 0 to 100"),
            ("--top-p", self.top_p, 0 < self.top_p <= 1, "a number above 0, at most 1"),
            ("--max-tokens", self.max_tokens, 1 <= self.max_tokens < 2**31, "a whole number from 1 to 2147483647"),
            ("--stop", self.stop, all(self.stop), "a text"),
        ):
            if not fits:
                raise EvaluationError(f"expected {wanted}, got {value}", field=name)

    def arguments(self, seed: int) -> dict[str, Any]:
        """What vLLM and OpenAI's interface call by the same names."""
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens, "seed": seed}


@dataclass(frozen=True)
class Request:
    """One sample to take: of which problem, which of its samples, and with which seed."""

    item: Item
    sample: int
    seed: int


@dataclass(frozen=True)
class Completion:
    """One sample taken.

    Attributes:
        finish_reason: "length" where it was cut off, "refused" where the engine would not take the request.
        text: the response; of a refused request, "".
        tokens: of the response.
        refusal: what the engine said, if it refused.
    """

    request: Request
    text: str
    finish_reason: str
    tokens: int
    refusal: str | None = None


def refused(request: Request, message: str) -> Completion:
    """What stands for the sample of a request that the engine would not take, such as one with too long a prompt."""
    return Completion(request, "", REFUSED, 0, message)


class Engine(Protocol):
    """Anything that takes samples."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield one completion for each request as soon as it is there, in any order."""
