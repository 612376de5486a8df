"""Measurements on planning and execution tokens.

Each module defines some metrics (``METRICS``, a list of ``table.Metric``) beside the pure functions they are made of.
A new metric is an entry of such a list, or a new module with one: it is logged, drawn and documented from there.
"""

from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.metrics.table import Metric, metrics_page

__all__ = ["Metric", "entropy_nats", "metrics_page"]
