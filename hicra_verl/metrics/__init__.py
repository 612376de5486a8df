"""Measurements on planning and execution tokens; pure functions of arrays and counts."""

from hicra_verl.metrics.entropy import entropy_nats

__all__ = ["entropy_nats"]
