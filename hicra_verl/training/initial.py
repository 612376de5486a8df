"""The values of a run's first step, which relative measures divide by.

They are kept beside the checkpoints, so that a resumed run continues its curves.
"""

from __future__ import annotations

import json
from pathlib import Path

FILE = "hicra_initial.json"


class InitialValues:
    """What the first step measured.

    Args:
        folder: the run's checkpoint folder; None to keep the values in memory only.
        grams_sha256: the gram set's hash: values of another set say nothing about this one.
        resumed: True if the run goes on from a checkpoint. A new run forgets what an earlier one left in the folder.

    Attributes:
        values: by name; None before the first step, or where a resumed run finds none of its own.
        missing: True if the next step is the first one.
    """

    def __init__(self, folder: Path | None, grams_sha256: str, resumed: bool) -> None:
        self.values: dict[str, float] | None = None
        self.missing = not resumed
        self._path = None if folder is None else folder / FILE
        self._grams = grams_sha256
        if resumed:
            self.values = self._read()

    def _read(self) -> dict[str, float] | None:
        if self._path is None or not self._path.exists():
            print("[hicra] no values of the run's first step are kept, so relative measures are left out", flush=True)
            return None
        kept = json.loads(self._path.read_text(encoding="utf-8"))
        if kept["grams"] != self._grams:
            print("[hicra] the run began with other grams, so relative measures are left out", flush=True)
            return None
        values: dict[str, float] = kept["values"]
        return values

    def keep(self, values: dict[str, float]) -> None:
        """Take these as the first step's values, and write them where a resumed run finds them."""
        self.values, self.missing = values, False
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"grams": self._grams, "values": values}) + "\n", encoding="utf-8")
            temporary.replace(self._path)
