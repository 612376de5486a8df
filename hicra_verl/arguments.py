"""Arguments that come from settings, checked against the annotations of what takes them."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from hicra_verl.errors import HicraError


class HicraConfigError(HicraError):
    """A wrong key or value under ``algorithm.hicra``; the message names the remedy."""


@dataclass(frozen=True)
class Between:
    """The range of a number: ``Annotated[float, Between(0, 1)]``. Its ends belong to it unless ``open`` names them."""

    low: float
    high: float = math.inf
    open: Literal["", "low", "high", "both"] = ""

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.open in ("low", "both") else self.low <= value
        below = value < self.high if self.open in ("high", "both") or self.high == math.inf else value <= self.high
        return above and below

    def in_words(self, name: str) -> str:
        """The range of a value of that name: ``0 <= alpha < 1``."""
        low = f"{self.low:g} {'<' if self.open in ('low', 'both') else '<='} {name}"
        return low if self.high == math.inf else f"{low} {'<' if self.open in ('high', 'both') else '<='} {self.high:g}"


Fraction = Annotated[float, Between(0, 1, open="both")]
"""An argument that is a fraction of something: more than none, less than all."""

IN_WORDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a name or text",
    list: "a list",
    tuple: "a list",
    dict: "arguments by name",
    Mapping: "arguments by name",
    Sequence: "a list",
    type(None): "null",
}


def parameters_of(target: Callable[..., Any], positional: int) -> dict[str, inspect.Parameter]:
    """The parameters of a function or class that settings can give, their annotations resolved as far as they can be.

    Args:
        target: the function or class.
        positional: how many leading parameters of a function are not the settings' to give.
    """
    parameters = list(inspect.signature(target).parameters.values())[0 if inspect.isclass(target) else positional :]
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    code = getattr(target, "__init__", target) if inspect.isclass(target) else target
    names = getattr(inspect.unwrap(code), "__globals__", {})
    chosen = [each for each in parameters if each.kind in kinds]
    return {each.name: each.replace(annotation=_resolved(each.annotation, names)) for each in chosen}


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation that may be a text; Any where it names what is imported for type checking only."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True
        )["it"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


def check_argument(where: str, value: Any, annotation: Any) -> Any:
    """An argument as its annotation wants it. A whole number is a number, too; true and false are none.

    An annotation of a kind that settings cannot give (a class of one's own) is not checked.

    Args:
        where: the setting, for messages.
        value: its value.
        annotation: bool, int, float, str, None, list, tuple, dict, Literal, and Optional, Union or Annotated of them.

    Raises:
        HicraConfigError: if it is of another type, or out of range.
    """
    found, reason = _fit(value, annotation)
    if reason is not None:
        name = where.rpartition(".")[2]
        raise HicraConfigError(f"{where}={value!r}: expected {reason.replace('$', name)}")
    return found


def _fit(value: Any, annotation: Any) -> tuple[Any, str | None]:
    """The value, and None if it fits, else what was expected; ``$`` stands for the argument's name."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found, reason = _fit(value, inner[0])
        limits = next((each for each in inner[1:] if isinstance(each, Between)), None)
        if reason is None and limits is not None and found is not None and found not in limits:
            reason = f"a number with {limits.in_words('$')}"
        return found, reason
    if origin in (typing.Union, types.UnionType):
        tried = [_fit(value, each) for each in inner]
        return next((each for each in tried if each[1] is None), (value, " or ".join(str(each[1]) for each in tried)))
    if origin is Literal:
        return value, None if value in inner else "one of " + ", ".join(map(repr, inner))
    kind = type(None) if annotation is None else origin or annotation
    if kind not in IN_WORDS:
        return value, None
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    wrong = (isinstance(value, bool) and kind is not bool) or (isinstance(value, str) and kind is Sequence)
    wrong = wrong or (kind is float and value != value)  # NaN
    if wrong or not isinstance(value, kind):
        return value, IN_WORDS[kind]
    return _fit_elements(value, kind, inner)


def _fit_elements(value: Any, kind: Any, inner: tuple[Any, ...]) -> tuple[Any, str | None]:
    """The same for what is inside a list or a mapping."""
    if not inner or kind not in (list, tuple, Sequence, dict, Mapping):
        return value, None
    wanted = inner[-1] if kind in (dict, Mapping) or inner[-1] is not ... else inner[0]
    for each in value.values() if isinstance(value, Mapping) else value:
        reason = _fit(each, wanted)[1]
        if reason is not None:
            return value, f"{IN_WORDS[kind]} of which each is {reason}"
    return value, None
