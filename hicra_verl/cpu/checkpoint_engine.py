"""Weights from trainer to rollout over a file, for verl's disaggregated trainers on one machine without a GPU.

verl's own transports (NCCL, NIXL, Mooncake…) need a GPU or a fabric. A checkpoint engine is a public extension point:
``checkpoint_engine.backend=file checkpoint_engine.custom_backend_module=hicra_verl.cpu.checkpoint_engine``, both set by
``+machine=cpu_disaggregated``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import torch
from verl.checkpoint_engine import CheckpointEngine, CheckpointEngineRegistry

WAIT_S = 600  # a sender that takes longer has died


@CheckpointEngineRegistry.register("file")
class FileCheckpointEngine(CheckpointEngine):  # type: ignore[misc]
    """The trainer's first worker writes all weights to one file; every rollout worker reads it.

    Args:
        bucket_size: unused; there are no buckets.
        is_master: True in the trainer's first worker.
    """

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        self.is_master = is_master
        self.folder: Path | None = None

    def prepare(self) -> dict[str, str]:
        return {"folder": tempfile.mkdtemp(prefix="hicra_weights_")} if self.is_master else {}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[dict[str, str]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        folder = metadata[0]["folder"]
        return {"folder": [folder] * actor_wg_world_size}, {"folder": [folder] * rollout_world_size}

    def init_process_group(self, folder: str) -> None:
        self.folder = Path(folder)

    def finalize(self) -> None:
        if self.is_master and self.folder is not None:
            shutil.rmtree(self.folder)
        self.folder = None

    async def send_weights(
        self, weights: Generator[tuple[str, torch.Tensor], None, None], global_steps: int | None = None
    ) -> None:
        assert self.folder is not None
        # Every worker walks the generator (gathering a sharded weight is collective); the first one keeps it.
        tensors = {name: tensor.detach().clone() for name, tensor in weights if self.is_master}
        if self.is_master:
            unfinished = self.folder / "weights.part"
            torch.save(tensors, unfinished)
            os.replace(unfinished, self.folder / "weights.pt")

    async def receive_weights(self, global_steps: int | None = None) -> AsyncGenerator[tuple[str, torch.Tensor], None]:
        assert self.folder is not None
        file = self.folder / "weights.pt"
        started = time.monotonic()
        while not file.exists():
            if time.monotonic() - started > WAIT_S:
                raise TimeoutError(f"no weights in {file} after {WAIT_S} s; the trainer's log says why")
            await asyncio.sleep(0.02)
        for name, tensor in torch.load(file, weights_only=True).items():
            yield name, tensor
