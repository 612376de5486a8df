"""What generates: vLLM in this process or on every GPU of a Ray cluster, or any OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hicra_verl.endpoint import Endpoint, EndpointError, Question
from hicra_verl.evaluation.benchmarks import EvaluationError, Item


@dataclass(frozen=True)
class Sampling:
    """How to sample; what the paper does not print is marked in the command's help."""

    temperature: float
    top_p: float
    max_tokens: int
    template_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One sample to take: of which problem, which of its samples, and with which seed."""

    item: Item
    sample: int
    seed: int


@dataclass(frozen=True)
class Completion:
    """One sample taken. ``finish_reason`` is "length" where it was cut off; ``tokens`` counts the response's."""

    request: Request
    text: str
    finish_reason: str
    tokens: int


class Engine(Protocol):
    """Anything that takes samples."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield each request's sample as soon as it is there, in any order."""


def _parts(item: Item, image_part: Any) -> list[dict[str, Any]]:
    """The messages with each ``<image>`` of a text replaced by the next image."""
    if not item.images:
        return item.messages
    images = iter(item.images)
    messages = []
    for message in item.messages:
        pieces: list[dict[str, Any]] = []
        for number, text in enumerate(message["content"].split("<image>")):
            if number:
                pieces.append(image_part(next(images)))
            if text:
                pieces.append({"type": "text", "text": text})
        messages.append({**message, "content": pieces})
    return messages


class VllmEngine:
    """vLLM in this process, with every request in one continuous batch.

    Args:
        model: folder or hub name.
        sampling: how to sample.
        arguments: more arguments for ``vllm.LLM``.
    """

    def __init__(self, model: str, sampling: Sampling, arguments: dict[str, Any]) -> None:
        from vllm import LLM

        self.sampling = sampling
        self.llm = LLM(model=model, **arguments)
        self.processor: Any = None

    def _prompt(self, item: Item) -> dict[str, Any]:
        template = {"add_generation_prompt": True, **self.sampling.template_arguments}
        if not item.images:
            tokenizer = self.llm.get_tokenizer()
            text = tokenizer.apply_chat_template(item.messages, tokenize=False, **template)
            return {"prompt_token_ids": tokenizer.encode(text, add_special_tokens=False)}
        from PIL import Image

        if self.processor is None:
            from transformers import AutoProcessor

            self.processor = AutoProcessor.from_pretrained(self.llm.llm_engine.model_config.model)
        messages = _parts(item, lambda image: {"type": "image"})
        text = self.processor.apply_chat_template(messages, tokenize=False, **template)
        images = [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in item.images]
        return {"prompt": text, "multi_modal_data": {"image": images}}

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self.llm.llm_engine
        for number, request in enumerate(requests):
            parameters = SamplingParams(
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                max_tokens=self.sampling.max_tokens,
                seed=request.seed,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            engine.add_request(str(number), self._prompt(request.item), parameters)
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    sample = output.outputs[0]
                    reason = str(sample.finish_reason)
                    # vLLM appends random characters to request names, after a dash.
                    request = requests[int(output.request_id.split("-")[0])]
                    yield Completion(request, sample.text, reason, len(sample.token_ids))


class RayVllmEngine:
    """One ``VllmEngine`` for each GPU (or group of GPUs) of a Ray cluster; requests are dealt out evenly.

    Args:
        replicas: how many.
        gpus_each: GPUs of one replica, its tensor-parallel size.
        model, sampling, arguments: see ``VllmEngine``.
    """

    def __init__(
        self, replicas: int, gpus_each: int, model: str, sampling: Sampling, arguments: dict[str, Any]
    ) -> None:
        import ray

        ray.init(ignore_reinit_error=True, log_to_driver=False)
        there = int(ray.cluster_resources().get("GPU", 0))
        if replicas * gpus_each > there:
            raise EvaluationError(
                f"{replicas} replicas of {gpus_each} GPUs each, but Ray has {there} GPUs: lower --replicas or "
                "--gpus-each, or start Ray on more nodes (RAY_ADDRESS)"
            )
        self.ray = ray
        worker = ray.remote(num_gpus=gpus_each)(VllmEngine)
        self.workers = [
            worker.remote(model, sampling, {**arguments, "tensor_parallel_size": gpus_each}) for _ in range(replicas)
        ]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        shares = [requests[start :: len(self.workers)] for start in range(len(self.workers))]
        streams = [
            worker.generate.options(num_returns="streaming").remote(share)
            for worker, share in zip(self.workers, shares, strict=True)
            if share
        ]
        while streams:
            ready, _ = self.ray.wait(streams, num_returns=1)
            for stream in ready:
                try:
                    yield self.ray.get(next(stream))
                except StopIteration:
                    streams.remove(stream)


class EndpointEngine:
    """An OpenAI-compatible server.

    Args:
        endpoint: the server.
        sampling: how to sample.
    """

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        self.endpoint, self.sampling = endpoint, sampling

    def _question(self, request: Request) -> Question:
        def image_part(image: dict[str, Any]) -> dict[str, Any]:
            data = base64.b64encode(image["bytes"]).decode()
            return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

        arguments: dict[str, Any] = {
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_tokens": self.sampling.max_tokens,
            "seed": request.seed,
        }
        if self.sampling.template_arguments:
            arguments["extra_body"] = {"chat_template_kwargs": self.sampling.template_arguments}
        return Question(_parts(request.item, image_part), arguments)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        try:
            for place, answer in self.endpoint.ask_all([self._question(request) for request in requests]):
                yield Completion(requests[place], answer.text, answer.finish_reason, answer.completion_tokens)
        except EndpointError as error:
            raise EvaluationError(str(error)) from error
