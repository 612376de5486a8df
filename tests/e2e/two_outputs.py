"""An agent loop that returns two outputs per session: what a loop that rewrites its own history does."""

from typing import Any

from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


class TwoOutputs(SingleTurnAgentLoop):
    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> Any:
        return [await super().run(sampling_params, priority, **kwargs) for _ in range(2)]
