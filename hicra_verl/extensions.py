"""Selectors and shapers: found by name, built with checked arguments.

Three ways lead to one: the name of one that ships here, the name under which another package's entry point offers it
(groups ``hicra_verl.selectors`` and ``hicra_verl.shapers``), or ``package.module:Object``.

Each is a function, called with its arguments at every batch, or a class, built with them once and then called.
CONTRIBUTING.md shows how to write one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Annotated, Any, Literal, TypeVar

from hicra_verl.errors import HicraError, nearest

Target = TypeVar("Target", bound=Callable[..., Any])


class HicraConfigError(HicraError):
    """A wrong key or value under ``algorithm.hicra``; the message names the remedy."""


@dataclass(frozen=True)
class Between:
    """The range of a number: ``Annotated[float, Between(0, 1)]``. Its ends belong to it unless ``open`` names them."""

    low: float
    high: float = math.inf
    open: Literal["", "low", "high", "both"] = ""

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        above = self.low < value if self.open in ("low", "both") else self.low <= value
        return above and (value < self.high if self.open in ("high", "both") else value <= self.high)

    def about(self, name: str) -> str:
        """The range in words: ``0 <= alpha < 1``."""
        low = f"{self.low:g} {'<' if self.open in ('low', 'both') else '<='} {name}"
        return low if self.high == math.inf else f"{low} {'<' if self.open in ('high', 'both') else '<='} {self.high:g}"


Fraction = Annotated[float, Between(0, 1, open="both")]
"""An argument that is a fraction of something: more than none, less than all."""


def needs(*fields: str) -> Callable[[Target], Target]:
    """Say which fields of ``RolloutBatch`` a selector or shaper needs; a trainer that lacks one refuses."""

    def mark(target: Target) -> Target:
        target.needs = fields  # type: ignore[attr-defined]
        return target

    return mark


@dataclass(frozen=True)
class Extension:
    """A selector or a shaper, ready to be called.

    Attributes:
        name: what the settings call it.
        call: ``(batch)`` or ``(advantages, mask, batch)``.
        target: the function or class it was built from.
    """

    name: str
    call: Callable[..., Any]
    target: Any

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of ``RolloutBatch`` that must be there."""
        return tuple(getattr(self.call, "needs", getattr(self.target, "needs", ())))

    @property
    def stateful(self) -> bool:
        """Whether it has a state that belongs into the checkpoint: ``state_dict()`` and ``load_state_dict(state)``."""
        return hasattr(self.call, "state_dict")


@dataclass
class Registry:
    """The selectors, or the shapers, there are.

    Attributes:
        setting: the key under ``algorithm.hicra``; that of the arguments is ``{setting}_args``.
        package: the package whose modules hold those that ship here, and the group of entry points.
        called_with: how many tensors and batches it is called with.
        given: arguments that come from settings of their own, by name: the setting.
    """

    setting: str
    package: str
    called_with: int
    given: dict[str, str] = field(default_factory=dict)
    shipped: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def register(self, name: str) -> Callable[[Target], Target]:
        """Give one a name. It stands in a module of ``package``; nothing else has to know of it."""

        def add(target: Target) -> Target:
            self.shipped[name] = target
            return target

        return add

    def names(self) -> list[str]:
        """All names, those of other packages included."""
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return sorted({*self.shipped, *(entry.name for entry in metadata.entry_points(group=self.package))})

    def find(self, name: str) -> Callable[..., Any]:
        """The function or class of a name.

        Raises:
            HicraConfigError: if there is none, or it cannot be imported.
        """
        where = f"algorithm.hicra.{self.setting}={name!r}"
        known = self.names()
        if name in self.shipped:
            return self.shipped[name]
        offered = {entry.name: entry.value for entry in metadata.entry_points(group=self.package)}
        path = offered.get(name, name)
        module, colon, attribute = path.partition(":")
        if not colon:
            raise HicraConfigError(f"{where}: {nearest(name, known)} Your own: package.module:Object")
        try:
            target = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except Exception as error:  # whatever a guest's module does when it is imported
            raise HicraConfigError(
                f"{where}: cannot be imported ({type(error).__name__}: {error})",
                remedy="its package must be installed, or on PYTHONPATH, wherever verl's trainer runs",
            ) from error
        if not callable(target):
            raise HicraConfigError(f"{where}: expected a function or a class, got {type(target).__name__}")
        return target

    def build(self, name: str, arguments: Mapping[str, Any], **given: Any) -> Extension:
        """One that is ready to be called.

        Args:
            name: which.
            arguments: its arguments, from the settings.
            given: further ones, passed on where it takes them.

        Raises:
            HicraConfigError: on an unknown name, or an argument that is unknown, missing, of a wrong type or range.
        """
        target: Any = self.find(name)
        where = f"algorithm.hicra.{self.setting}_args"
        taken = self.parameters_of(target)
        for key in arguments:
            if key in self.given:
                raise HicraConfigError(f"{where}.{key}: set {self.given[key]} instead")
            if key not in taken:
                known = (
                    nearest(str(key), [each for each in taken if each not in self.given]) if taken else "it takes none."
                )
                raise HicraConfigError(f"{where}.{key}: {name} has no such argument; {known}")
        words = {**{key: value for key, value in given.items() if key in taken}, **arguments}
        for key, parameter in taken.items():
            if key in words:
                words[key] = check_argument(f"{where}.{key}", words[key], parameter.annotation)
            elif parameter.default is inspect.Parameter.empty:
                raise HicraConfigError(f"{where}.{key} is missing: {name} needs it")
        if not inspect.isclass(target):
            return Extension(name, functools.partial(target, **words), target)
        try:
            built: Any = target(**words)
        except HicraError:
            raise
        except (TypeError, ValueError) as error:
            raise HicraConfigError(f"{where}: {name} refuses its arguments: {error}") from error
        if not callable(built):
            raise HicraConfigError(f"algorithm.hicra.{self.setting}={name!r}: its class has no __call__")
        return Extension(name, built, target)

    def parameters_of(self, target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
        """The arguments that settings can give: those of a class, or of a function after what it is called with."""
        parameters = list(inspect.signature(target).parameters.values())
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return {
            parameter.name: parameter.replace(annotation=_annotation(parameter, target))
            for parameter in parameters[0 if inspect.isclass(target) else self.called_with :]
            if parameter.kind in kinds
        }


SELECTORS = Registry("selector", "hicra_verl.selectors", 1)
SHAPERS = Registry("shaping", "hicra_verl.shapers", 3, {"alpha": "algorithm.hicra.alpha"})


def _annotation(parameter: inspect.Parameter, target: Any) -> Any:
    """What a parameter's annotation says; Any where it has none, or one of names imported for type checking only."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    names = vars(sys.modules[target.__module__])
    try:
        return eval(parameter.annotation, names)
    except NameError:
        return Any


def check_argument(where: str, value: Any, annotation: Any) -> Any:
    """An argument as its annotation wants it; an integer is a float, too, true and false are no numbers.

    Raises:
        HicraConfigError: if it is of another type, or out of range.
    """
    optional = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    choices = typing.get_args(annotation) if optional else (annotation,)
    ranges = [limits for choice in choices for limits in getattr(choice, "__metadata__", ())]
    kinds = [getattr(choice, "__origin__", choice) for choice in choices if choice is not Any]  # without Annotated
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    if float in plain and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if plain and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain)):
        raise HicraConfigError(f"{where}={value!r}: expected {_kind(plain)}")
    for limits in ranges:
        if isinstance(limits, Between) and value is not None and not limits.holds(value):
            name = where.rpartition(".")[2]
            raise HicraConfigError(f"{where}={value!r}: expected a number with {limits.about(name)}")
    return value


def _kind(kinds: tuple[Any, ...]) -> str:
    words = {bool: "true or false", float: "a number", int: "a whole number", str: "a name or text", list: "a list"}
    words |= {Mapping: "arguments by name", type(None): "null"}
    return " or ".join(words.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds)
