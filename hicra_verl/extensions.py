"""Selectors and shapers: found by name, built with checked arguments.

A name is that of one that ships here, one that another package's entry point offers (groups ``hicra_verl.selectors``
and ``hicra_verl.shapers``), or ``package.module:Object``. What stands behind it is

- a function, called with its arguments at every batch: ``selector(batch, *, …)``,
  ``shaper(advantages, mask, batch, *, …)``;
- or a class, built with its arguments once, whose instances are called so; or such an instance.

The contract:

- Tensors are (B, T) on the CPU. Return a new one; what it holds where ``response_mask`` is False is ignored.
- It is called once a batch: once a step, but for verl's ``separate_async`` mode, which has several batches a step.
- An argument named ``alpha`` is ``algorithm.hicra.alpha``.
- ``metrics()``, if there is one, returns numbers by name; they are logged as ``hicra/selector/…``, ``hicra/shaper/…``.
- ``state_dict()`` and ``load_state_dict(state)``, if there are both, keep a state with verl's checkpoints: numbers,
  texts and tensors, in lists and dicts.

CONTRIBUTING.md shows how to write one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeVar

from hicra_verl.arguments import Between, Fraction, HicraConfigError, check_argument, parameters_of
from hicra_verl.errors import HicraError, nearest

__all__ = [
    "SELECTORS",
    "SHAPERS",
    "Between",
    "Extension",
    "Fraction",
    "HicraConfigError",
    "Registry",
    "needs",
    "selects",
]

Target = TypeVar("Target", bound=Callable[..., Any])


def needs(*fields: str) -> Callable[[Target], Target]:
    """Say which fields of ``RolloutBatch`` a selector or shaper needs; a trainer that lacks one refuses."""

    def mark(target: Target) -> Target:
        target.needs = fields  # type: ignore[attr-defined]
        return target

    return mark


def selects(selector: str) -> Callable[[Target], Target]:
    """Say which selector a shaper takes where the settings name none; without this it is ``grams``."""

    def mark(target: Target) -> Target:
        target.selects = selector  # type: ignore[attr-defined]
        return target

    return mark


@dataclass(frozen=True)
class Extension:
    """A selector or a shaper, ready to be called.

    Attributes:
        name: what the settings call it.
        call: ``(batch)`` or ``(advantages, mask, batch)``.
        target: the function or class it was built from.
        arguments: what the settings gave it.
    """

    name: str
    call: Any
    target: Any
    arguments: Mapping[str, Any]

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of ``RolloutBatch`` that must be there."""
        return tuple(getattr(self.call, "needs", getattr(self.target, "needs", ())))

    @property
    def stateful(self) -> bool:
        """Whether it has a state that belongs into the checkpoint."""
        return callable(getattr(self.call, "state_dict", None))

    def metrics(self) -> dict[str, float]:
        """What it reports of itself; a value that is None or no finite number is left out.

        Raises:
            HicraConfigError: if it reports anything but numbers by name.
        """
        report = getattr(self.call, "metrics", None)
        found = report() if callable(report) else {}
        if not isinstance(found, Mapping):
            raise HicraConfigError(f"{self.name}: metrics() returned {type(found).__name__}, expected numbers by name")
        numbers = {}
        for name, value in found.items():
            try:
                number = math.nan if value is None else float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise HicraConfigError(f"{self.name}: metrics() reports {name}={value!r}, expected a number") from error
            if math.isfinite(number):
                numbers[str(name)] = number
        return numbers

    @property
    def identity(self) -> str:
        """Where its code is, whatever name it was found by."""
        kind = self.target if hasattr(self.target, "__qualname__") else type(self.target)
        return f"{kind.__module__}:{kind.__qualname__}"


@dataclass
class Registry:
    """The selectors, or the shapers, there are.

    Attributes:
        setting: the key under ``algorithm.hicra``; that of the arguments is ``{setting}_args``.
        package: the package whose modules hold those that ship here; also the group of entry points.
        called_with: the names of what it is called with.
        settings_of: arguments that have a setting of their own, by name: the setting.
    """

    setting: str
    package: str
    called_with: tuple[str, ...]
    settings_of: dict[str, str] = field(default_factory=dict)
    shipped: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def register(self, name: str) -> Callable[[Target], Target]:
        """Give one that ships here a name. Its module in ``package`` is found by itself.

        Raises:
            HicraConfigError: if another one has the name. Other packages offer theirs by an entry point.
        """

        def add(target: Target) -> Target:
            known = self.shipped.get(name, target)
            if (known.__module__, known.__qualname__) != (target.__module__, target.__qualname__):
                raise HicraConfigError(
                    f"{target.__module__}: the {self.setting} {name} is {known.__module__}'s already"
                )
            self.shipped[name] = target
            return target

        return add

    def _offered(self) -> dict[str, list[metadata.EntryPoint]]:
        """What other packages offer, by name."""
        offered: dict[str, list[metadata.EntryPoint]] = {}
        for entry in metadata.entry_points(group=self.package):
            offered.setdefault(entry.name, []).append(entry)
        return offered

    def names(self) -> list[str]:
        """All names, those of other packages included."""
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return sorted({*self.shipped, *self._offered()})

    def find(self, name: str) -> Any:
        """The function, class or instance of a name.

        Raises:
            HicraConfigError: if there is none, there are two, or it cannot be imported.
        """
        where = f"algorithm.hicra.{self.setting}={name!r}"
        known, offers = self.names(), self._offered().get(name, [])
        owners = [entry.value for entry in offers] + [self.package] * (name in self.shipped)
        if len(owners) > 1:
            both = " and ".join(owners)
            raise HicraConfigError(f"{where}: {both} have that name", remedy="name package.module:Object")
        if name in self.shipped:
            return self.shipped[name]
        path = offers[0].value if offers else name
        module, colon, attribute = path.partition(":")
        if not colon and not offers:
            raise HicraConfigError(f"{where}: {nearest(name, known)} Your own: package.module:Object")
        try:
            target = importlib.import_module(module)
            for part in attribute.split("."):
                target = getattr(target, part)
        except (Exception, SystemExit) as error:  # whatever a guest's module does when it is imported
            raise HicraConfigError(
                f"{where}: {path} cannot be imported ({type(error).__name__}: {error})",
                remedy="its package must be installed, or on PYTHONPATH, wherever verl's trainer runs",
            ) from error
        if not callable(target):
            raise HicraConfigError(f"{where}: expected a function or a class, got {type(target).__name__}")
        return target

    def parameters_of(self, target: Any) -> dict[str, inspect.Parameter]:
        """The arguments that the settings can give a function or a class."""
        return parameters_of(target, len(self.called_with))

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
        where = f"algorithm.hicra.{self.setting}"
        form = f"{name}({', '.join(self.called_with)})"
        try:
            taken = self.parameters_of(target) if inspect.isclass(target) or inspect.isroutine(target) else {}
        except ValueError as error:
            raise HicraConfigError(f"{where}={name!r}: expected a function {form} or a class; {error}") from error
        words = self._checked(name, arguments, taken, given)
        if inspect.isclass(target):
            try:
                call = target(**words)
            except HicraError:
                raise
            except Exception as error:  # whatever a guest's class makes of its arguments
                raise HicraConfigError(f"{where}_args: {name} refuses its arguments: {error}") from error
        else:
            call = functools.partial(target, **words) if inspect.isroutine(target) else target
        built = Extension(name, call, target, dict(arguments))
        try:
            inspect.signature(built.call).bind(*self.called_with)
        except (TypeError, ValueError) as error:
            raise HicraConfigError(f"{where}={name!r}: is called as {form}, which it does not take: {error}") from error
        if built.stateful and not callable(getattr(call, "load_state_dict", None)):
            raise HicraConfigError(f"{where}={name!r}: has state_dict, but no load_state_dict")
        return built

    def _checked(
        self, name: str, arguments: Mapping[str, Any], taken: dict[str, inspect.Parameter], given: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments, checked against the parameters they are for."""
        where = f"algorithm.hicra.{self.setting}_args"
        for key in arguments:
            if key in self.settings_of:
                raise HicraConfigError(f"{where}.{key}: set {self.settings_of[key]} instead")
            if key not in taken:
                known = [each for each in taken if each not in self.settings_of]
                remedy = nearest(str(key), known) if known else "it takes none"
                raise HicraConfigError(f"{where}.{key}: {name} has no such argument", remedy=remedy)
        words = {**{key: value for key, value in given.items() if key in taken}, **arguments}
        for key, parameter in taken.items():
            if key in words:
                words[key] = check_argument(f"{where}.{key}", words[key], parameter.annotation)
            elif parameter.default is inspect.Parameter.empty:
                raise HicraConfigError(f"{where}.{key} is missing: {name} needs it")
        return words


SELECTORS = Registry("selector", "hicra_verl.selectors", ("batch",))
SHAPERS = Registry("shaping", "hicra_verl.shapers", ("advantages", "mask", "batch"), {"alpha": "algorithm.hicra.alpha"})
