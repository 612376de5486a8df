"""Agent loops for the end-to-end tests, registered with verl through its own configuration."""

from collections import Counter
from typing import Any, ClassVar
from zlib import crc32

from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


class TwoOutputs(SingleTurnAgentLoop):
    """Two outputs per session: what a loop that rewrites its own history returns."""

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> Any:
        first = await super().run(sampling_params, priority, **kwargs)
        return [first, await super().run(sampling_params, priority, **kwargs)]


class Seeded(SingleTurnAgentLoop):
    """Samples with a seed of its own per response, so that two runs see the same responses."""

    asked: ClassVar[Counter[str]] = Counter()

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> Any:
        prompt = str(kwargs["raw_prompt"])
        self.asked[prompt] += 1
        seed = crc32(f"{prompt} {self.asked[prompt]}".encode())
        return await super().run({**sampling_params, "seed": seed}, priority, **kwargs)
