"""The values of a run's first step, which relative measures divide by.

They are kept beside the checkpoints, so that a resumed run continues its curves.
"""

from __future__ import annotations

import json
from pathlib import Path

from hicra_verl.errors import HicraError
from hicra_verl.files import make_folder, write_json
from hicra_verl.training.environment import environment

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
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            values = {str(name): float(value) for name, value in kept["values"].items()}
            grams = kept["grams"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise HicraError(
                "does not hold the values of the run's first step",
                file=self._path,
                remedy="remove the file: relative measures are then left out",
            ) from error
        if grams != self._grams:
            print("[hicra] the run began with other grams, so relative measures are left out", flush=True)
            return None
        return values

    def keep(self, values: dict[str, float]) -> None:
        """Take these as the first step's values, and write them, with versions, where a resumed run finds them."""
        self.values, self.missing = values, False
        if self._path is not None:
            make_folder(self._path.parent)
            write_json(self._path, {"grams": self._grams, "values": values, **environment()}, indent=None)
