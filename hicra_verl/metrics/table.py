"""The table that defines each metric once, for the tracker, the page that explains them, the figures and the report."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hicra_verl.grams.matcher import Matches
    from hicra_verl.metrics.sums import TokenClasses
    from hicra_verl.rollout import RolloutBatch

PREFIX = "hicra/"
Values = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Metric:
    """One metric, or one for each member of a family.

    Attributes:
        name: as trackers show it. In a family's, ``{CLASS}`` stands for the member: planning, execution, …
        label: what figures and the report call it.
        unit: such as ``nats``, ``tokens``, ``fraction``.
        formula: how it is made, in words and symbols; shown as Markdown.
        source: where it is from: the paper's section, another paper, or ``ours``.
        value: what a finished step's sums make of it: a number; for a family, one for each member; None where it would
            be a mean over nothing, or what it needs was not kept. None if something else measures it.
        add: puts what this metric needs of a batch beside the step's own sums, into ``StepMetrics.sums``.
        of: the metric that this one compares with its own value at the run's first step, by ``compare(now, first)``.
        compare: how.
        texts: whether responses' texts and scores alone allow it, so that saved rollouts give it again.
        chart: the report's chart that it is a line of.
        members: of a family, those that are drawn; None for all.
        old_name: what it was called before; logged under this name, too, and read from old runs.
    """

    name: str
    label: str
    unit: str
    formula: str
    source: str
    value: Callable[[Any], Values] | None = None
    add: Callable[[Any, RolloutBatch, Matches, TokenClasses], None] | None = None
    of: str | None = None
    compare: Callable[[float, float], float] | None = None
    texts: bool = False
    chart: str | None = None
    members: tuple[str, ...] | None = None
    old_name: str | None = None

    def full_name(self, member: str) -> str:
        """The name with a member in it."""
        return re.sub(r"\{\w+\}", lambda _: member, self.name)

    def member(self, logged: str) -> str | None:
        """The member that a logged name is of; "" for a metric that is no family, None if it is another metric's."""
        found = _pattern(self.name).fullmatch(logged)
        return None if found is None else next(iter(found.groups()), "")

    def line(self, logged: str) -> str | None:
        """What a chart calls the line of a logged name; None if it is not drawn."""
        member = self.member(logged)
        if member is None or (self.members is not None and member not in self.members):
            return None
        return member if member.isalpha() and self.name.startswith(PREFIX) else self.label.format(member)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    word = "([^_/]+)" if name.startswith(PREFIX) else "(.+)"  # verl's own hold names of data sets, of any form
    return re.compile(re.sub(r"\\\{\w+\\\}", lambda _: word, re.escape(name)))


@cache
def all_metrics() -> tuple[Metric, ...]:
    """Every metric of every module of this package, in the modules' order."""
    package = importlib.import_module("hicra_verl.metrics")
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"hicra_verl.metrics.{name}") for name in names]
    return tuple(metric for module in modules for metric in getattr(module, "METRICS", ()))


@cache
def old_names() -> dict[str, str]:
    """Today's name of each metric that had another one."""
    return {metric.old_name: metric.name for metric in all_metrics() if metric.old_name}


def metric_named(logged: str) -> Metric | None:
    """The metric that a logged name is of."""
    return next((metric for metric in all_metrics() if metric.member(logged) is not None), None)


def title_of(logged: str) -> str:
    """A logged metric's name for people, with its unit."""
    metric = metric_named(logged)
    if metric is None:
        return logged
    member = metric.member(logged) if metric.name.startswith(PREFIX) else None
    label = metric.label.format(member) if "{}" in metric.label else ", ".join(filter(None, (metric.label, member)))
    return label if metric.unit in ("", "fraction", "ratio") else f"{label} ({metric.unit})"


def charts(logged: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """The charts that logged metrics allow: title to (logged name, what the line is called); verl's own come first."""
    names = sorted(logged)
    drawn: dict[str, list[tuple[str, str]]] = {}
    for metric in sorted(all_metrics(), key=lambda metric: metric.name.startswith(PREFIX)):
        for name in names if metric.chart else ():
            line = metric.line(name)
            if line is not None:
                drawn.setdefault(str(metric.chart), []).append((name, line))
    return drawn


_TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def metrics_page() -> str:
    """``metrics/README.md`` with its table as this module has it; the words around the table are kept."""
    lines = ["| metric | unit | definition | source | text alone |", "|---|---|---|---|---|"]
    for metric in all_metrics():
        name = re.sub(r"[{}]", "", metric.name)
        texts = "yes" if metric.texts else ""
        formula = metric.formula + (f"; logged as `{metric.old_name}`, too" if metric.old_name else "")
        lines.append(f"| `{name}` | {metric.unit} | {formula} | {metric.source} | {texts} |".replace("|  |", "| |"))
    table = "".join(line + "\n" for line in lines)
    page = resources.files("hicra_verl.metrics").joinpath("README.md").read_text(encoding="utf-8")
    return _TABLE.sub(lambda _: table, page)
