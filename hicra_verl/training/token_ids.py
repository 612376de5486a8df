"""The token ids of each step, beside verl's dump of its texts: a dump has neither special tokens nor a mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hicra_verl.files import make_folder, writing
from hicra_verl.records import InputError, open_parquet
from hicra_verl.verl_formats.dumps import order_of_dump

if TYPE_CHECKING:
    import torch

FOLDER = "hicra_tokens"


class TokenIds(NamedTuple):
    """One response's tokens.

    Attributes:
        uid: the response's name in verl's dump.
        prompt: the ids before it, its template's special tokens included, padding not.
        response: (T,) its own ids.
        own: (T,) whether the policy wrote the token: False on a tool's output.
    """

    uid: str
    prompt: list[int]
    response: list[int]
    own: list[bool]


class TokenIdWriter:
    """Keeps the token ids of each step and writes them to ``FOLDER/STEP.parquet``, in the order of verl's dump.

    Args:
        folder: the run's checkpoint folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._kept: list[TokenIds] = []

    def add(
        self,
        uids: Sequence[str],
        prompts: Sequence[torch.Tensor],
        responses: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor],
    ) -> None:
        """Keep a batch: for each response its name, its prompt's ids, its own and their mask, without padding."""
        for uid, prompt, response, mask in zip(uids, prompts, responses, masks, strict=True):
            self._kept.append(TokenIds(uid, prompt.tolist(), response.tolist(), (mask != 0).tolist()))

    def write(self, step: int) -> None:
        """Write what was kept since the last call as this step's."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept, self._kept = self._kept, []
        if kept:
            rows = [kept[place]._asdict() for place in order_of_dump([one.uid for one in kept])]
            ids = pa.list_(pa.int32())
            columns = {"uid": pa.string(), "prompt": ids, "response": ids, "own": pa.list_(pa.bool_())}
            make_folder(self._folder)
            with writing(self._folder / f"{step}.parquet", binary=True) as stream:
                pq.write_table(pa.Table.from_pylist(rows, pa.schema(columns)), stream, compression="zstd")


def token_ids_beside(dump: Path) -> Path | None:
    """The token ids of the step that a dump holds the texts of; None where none were kept."""
    run = dump.absolute().parent.parent
    found = (folder / FOLDER / f"{dump.stem}.parquet" for folder in (run, run / "checkpoints"))
    return next((path for path in found if path.is_file()), None)


def read_token_counts(path: Path) -> list[tuple[str, int]]:
    """The name of each response of one step and how many tokens it has, a tool's output included.

    Raises:
        InputError: if the file is not as ``TokenIdWriter`` wrote it.
    """
    import pyarrow.compute

    found: list[tuple[str, int]] = []
    with open_parquet(path) as file:
        if not {"uid", "response"} <= set(file.schema_arrow.names):
            raise InputError("expected the columns uid and response", file=path)
        for group in file.iter_batches(columns=["uid", "response"]):
            counts = pyarrow.compute.list_value_length(group["response"]).fill_null(0)
            found += zip(map(str, group["uid"].to_pylist()), counts.to_pylist(), strict=True)
    return found


def read_token_ids(path: Path, limit: int | None = None) -> list[TokenIds]:
    """The responses of one step, as ``TokenIdWriter`` wrote them; at most ``limit`` of them.

    Raises:
        InputError: if the file is not as it wrote it.
    """
    kept: list[TokenIds] = []
    with open_parquet(path) as file:
        if not set(TokenIds._fields) <= set(file.schema_arrow.names):
            raise InputError(f"expected the columns {', '.join(TokenIds._fields)}", file=path)
        for group in file.iter_batches(batch_size=256, columns=list(TokenIds._fields)):
            for row in group.to_pylist():
                if limit is not None and len(kept) == limit:
                    return kept
                kept.append(_checked(path, len(kept) + 1, row))
    return kept


def _checked(path: Path, number: int, row: dict[str, Any]) -> TokenIds:
    for name in ("prompt", "response"):
        values = row[name]
        if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
            raise InputError("expected a list of token ids", file=path, line=number, field=name)
    if not isinstance(row["own"], list) or len(row["own"]) != len(row["response"]):
        raise InputError("expected a list of true or false, one a token", file=path, line=number, field="own")
    return TokenIds(str(row["uid"]), row["prompt"], row["response"], [bool(value) for value in row["own"]])
