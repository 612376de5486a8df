"""Conditions on the metrics that verl logs, of which a plan is made.

A metric that stays above a number ends a stage; a metric that falls beyond its own noise may stop a run. The second is
for validations, which are few and noisy, and by default it only speaks (``hicra stages PLAN --stop`` obeys it):

1. The last ``window`` readings are averaged and compared with the best such average of earlier readings.
2. The noise is that of one reading, the root mean square of successive differences divided by the square root of two,
   which a slow rise or fall of the metric itself hardly changes.
3. The rule holds where the average has fallen by ``falls_by_noise`` times that noise, and never before ten readings.
4. With 7 and a window of 3, chosen on other simulated curves than the tests', it stops under 1% of flat runs of 50
   validations, at any noise level, also where a validation's noise carries over to the next one by half. Where it
   carries over by 0.7, it stops 11%.
5. A metric that falls by 1.5 times its noise a validation (for AIME24 at 32 samples a problem, about two points every
   ten steps) is stopped within ten validations, a slower fall later. "Four in a row, each below the one before", the
   obvious rule, stops 28% of the flat runs.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hicra_verl.errors import HicraError, nearest

LARGEST = 1e12  # of any number in a plan
FEWEST_READINGS = 10  # ours: fewer differences do not tell the noise


class StagesError(HicraError):
    """A plan or state that cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True)
class Metric:
    """A metric that verl logs.

    Attributes:
        metric: its name; ``*`` matches anything, and several matches are averaged.
    """

    metric: str

    def reading(self, metrics: Mapping[str, Any]) -> float | None:
        """The metric's value at this step, None where it is not logged."""
        values = [float(metrics[name]) for name in fnmatch.filter(metrics, self.metric)]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Above(Metric):
    """Holds where the last ``in_a_row`` readings all exceed ``above``. A step without the metric is no reading."""

    above: float
    in_a_row: int

    def fires(self, values: Sequence[float]) -> str | None:
        """Why the rule holds after these readings, oldest first; None if it does not."""
        recent = values[-self.in_a_row :]
        if len(recent) < self.in_a_row or min(recent) <= self.above:
            return None
        shown = ", ".join(f"{value:.4g}" for value in recent)
        return f"{self.metric} above {self.above:g} {self.in_a_row} times in a row: {shown}"


@dataclass(frozen=True)
class Falls(Metric):
    """Holds where the mean of the last ``window`` readings lies ``falls_by_noise`` times the noise below its best."""

    falls_by_noise: float
    window: int

    def fires(self, values: Sequence[float]) -> str | None:
        """Why the rule holds after these readings, oldest first; None if it does not."""
        if len(values) < max(FEWEST_READINGS, 2 * self.window):
            return None
        means = [sum(values[end - self.window : end]) / self.window for end in range(self.window, len(values) + 1)]
        best, last = max(means[: -self.window]), means[-1]
        noise = (sum((b - a) ** 2 for a, b in pairwise(values)) / (2 * (len(values) - 1))) ** 0.5
        if best - last <= self.falls_by_noise * noise:
            return None
        return (
            f"{self.metric} fell from {best:.4g} to {last:.4g} (means of {self.window}), more than "
            f"{self.falls_by_noise:g} times its noise of {noise:.2g}"
        )


Rule = Above | Falls


def only(mapping: Any, allowed: tuple[str, ...], where: str) -> dict[str, Any]:
    """``mapping``, if it is one and holds no other keys than ``allowed``."""
    if not isinstance(mapping, dict):
        raise StagesError(f"{where}: expected a mapping, got {repr(mapping)[:60]}")
    for key in mapping:
        if key not in allowed:
            raise StagesError(f"{where}.{str(key)[:60]}: no such field; {nearest(str(key)[:60], list(allowed))}")
    return mapping


def read_metric(data: Any, where: str) -> Metric:
    """``{metric: NAME}`` of a plan."""
    return Metric(_metric_name(only(data, ("metric",), where), where))


def read_rule(data: Any, where: str) -> Rule:
    """A rule of a plan.

    Raises:
        StagesError: naming the field and the remedy.
    """
    if isinstance(data, dict) and "falling" in data:
        raise StagesError(
            f"{where}.falling: a fall is now measured against the metric's own noise: write falls_by_noise: 7 and "
            "window: 3 instead of falling and in_a_row"
        )
    fields = only(data, ("metric", "above", "in_a_row", "falls_by_noise", "window"), where)
    if ("above" in fields) == ("falls_by_noise" in fields):
        raise StagesError(f"{where}: give either above: NUMBER or falls_by_noise: NUMBER")
    limit, count, other = (
        ("above", "in_a_row", "window") if "above" in fields else ("falls_by_noise", "window", "in_a_row")
    )
    if other in fields:
        raise StagesError(f"{where}.{other}: above goes with in_a_row, falls_by_noise with window")
    name = _metric_name(fields, where)
    number = _number(fields, limit, where, (int, float), "a number")
    times = _number(fields, count, where, (int,), "a whole number of at least 1", above=0)
    if limit == "above":
        return Above(name, number, times)
    if number <= 0:
        raise StagesError(f"{where}.falls_by_noise: expected a number above 0, got {number:g}")
    return Falls(name, number, times)


def _metric_name(fields: dict[str, Any], where: str) -> str:
    name = fields.get("metric")
    if not isinstance(name, str):
        raise StagesError(f"{where}.metric: expected the name of a metric that verl logs")
    return name


def _number(
    fields: dict[str, Any], field: str, where: str, kinds: tuple[type, ...], expected: str, above: float = -LARGEST
) -> Any:
    value = fields.get(field, 1)
    if type(value) not in kinds or not above < value < LARGEST:
        raise StagesError(f"{where}.{field}: expected {expected}, got {repr(value)[:60]}")
    return value
