"""What became of a data set's rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hicra_verl.version import __version__

EXAMPLES = 5  # ours: how many rows the report names for each reason


@dataclass
class Report:
    """What became of a data set's rows; written beside the parquet file. ``rows`` is ``problems`` plus ``left_out``.

    Attributes:
        name: the data set.
        hub: its name on the hub.
        revision: the commit, None for a local copy.
        template: the prompt template.
        inputs: file name to sha256.
        rows: rows read.
        published_rows: how many rows were published, None if unknown.
        left_out: reason to number of rows.
        examples: reason to the first rows of which it is true, as ``"FILE, row N: what"``.
        in_a_benchmark: what was left out because a benchmark holds it, as ``{"problem", "benchmark", "similarity"}``.
        cleared_of: the benchmarks that the problems were compared with.
        problems: what is left, and written.
        output_sha256: of the parquet file.
    """

    name: str
    hub: str
    revision: str | None
    template: str
    inputs: dict[str, str]
    rows: int = 0
    published_rows: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    in_a_benchmark: list[dict[str, Any]] = field(default_factory=list)
    cleared_of: list[str] = field(default_factory=list)
    problems: int = 0
    output_sha256: str = ""
    hicra_verl: str = __version__

    def leave_out(self, reason: str, where: str, what: str = "") -> None:
        """Count a row, and name it if it is among the first."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        named = self.examples.setdefault(reason, [])
        if len(named) < EXAMPLES:
            named.append(f"{where}: {what}" if what else where)
