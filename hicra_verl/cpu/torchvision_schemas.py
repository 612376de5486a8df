"""Let torchvision's wheel for CUDA be imported beside a CPU build of torch, for vision-language models without a GPU.

transformers' and vLLM's image processors use torchvision's transforms, which are plain tensor code. Importing
torchvision also refers to two of its compiled operators, whose library cannot load without CUDA. Declaring their
schemas is enough for the import; nothing here calls them, and a call would fail as an unimplemented operator.
"""

from __future__ import annotations

import importlib.metadata as metadata
from typing import Any

_libraries: list[Any] = []  # torch drops a declaration when its library object is collected


def declare() -> None:
    """Declare the schemas, once per process, if the installed torchvision is not a CPU build."""
    installed = [found.version for found in metadata.distributions(name="torchvision")]
    if _libraries or not installed or "+cpu" in installed[0]:
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _libraries.append(library)
