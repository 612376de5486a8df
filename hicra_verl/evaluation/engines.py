"""What generates: vLLM in this process or on every GPU of a Ray cluster, or any OpenAI-compatible server."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hicra_verl.data.images import FORMATS, media_type
from hicra_verl.data.problems import IMAGE
from hicra_verl.endpoint import REFUSED, Endpoint, Question
from hicra_verl.errors import HicraError
from hicra_verl.evaluation.benchmarks import EvaluationError, Item
from hicra_verl.evaluation.sampling import Completion, Request, Sampling, refused

IN_FLIGHT = 2  # ours; requests handed to vLLM, in multiples of the sequences it runs at once


def _parts(item: Item, image_part: Any) -> list[dict[str, Any]]:
    """The messages with each ``<image>`` of a text replaced by the next image; ``load_benchmark`` counted them."""
    if not item.images:
        return item.messages
    images = iter(item.images)
    messages = []
    for message in item.messages:
        pieces: list[dict[str, Any]] = []
        for number, text in enumerate(message["content"].split(IMAGE)):
            if number:
                pieces.append(image_part(next(images)))
            if text:
                pieces.append({"type": "text", "text": text})
        messages.append({**message, "content": pieces})
    return messages


def stop_token_ids(texts: Iterable[str], tokenizer: Any) -> list[int]:
    """The ids of the stop texts that are special tokens.

    vLLM looks for stop texts in what it has decoded, and special tokens are left out of that
    (v1/engine/detokenizer.py: ``DecodeStream(skip_special_tokens=True)``): they can only stop by their ids.
    """
    encoded = (tokenizer.encode(text, add_special_tokens=False) for text in texts)
    return [ids[0] for ids in encoded if len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=True) == ""]


class VllmEngine:
    """vLLM in this process, kept full: as requests finish, further ones are made ready and handed to it.

    Only so many are in flight that memory holds the images of a few hundred problems, not of a whole benchmark.

    Args:
        model: folder or hub name.
        sampling: how to sample.
        arguments: more arguments for ``vllm.LLM``.

    Raises:
        EvaluationError: if vLLM does not start.
    """

    def __init__(self, model: str, sampling: Sampling, arguments: dict[str, Any]) -> None:
        self.sampling = sampling
        try:
            from vllm import LLM

            self.llm = LLM(model=model, **arguments)
        except ModuleNotFoundError:
            raise
        except (ImportError, RuntimeError, ValueError, TypeError, OSError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EvaluationError(
                f"{model}: vLLM does not start ({first}); its own messages above say why. --vllm-argument KEY=VALUE "
                "sets what vllm.LLM takes."
            ) from error
        self.processor: Any = None

    def _prompt(self, item: Item) -> dict[str, Any]:
        template = {"add_generation_prompt": True, **self.sampling.template_arguments}
        if not item.images:
            tokenizer = self.llm.get_tokenizer()
            text = tokenizer.apply_chat_template(item.messages, tokenize=False, **template)
            return {"prompt_token_ids": tokenizer.encode(text, add_special_tokens=False)}
        if self.processor is None:
            from transformers import AutoProcessor

            self.processor = AutoProcessor.from_pretrained(self.llm.llm_engine.model_config.model)
        messages = _parts(item, lambda image: {"type": "image"})
        text = self.processor.apply_chat_template(messages, tokenize=False, **template)
        return {"prompt": text, "multi_modal_data": {"image": [_opened(image) for image in item.images]}}

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """See ``Engine``; a request that vLLM does not take is answered by ``refused``.

        Raises:
            EvaluationError: if vLLM's own process ends.
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMValidationError  # in some versions no ValueError
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        engine = self.llm.llm_engine
        stop_ids = stop_token_ids(self.sampling.stop, self.llm.get_tokenizer()) if self.sampling.stop else []
        most = IN_FLIGHT * engine.vllm_config.scheduler_config.max_num_seqs
        waiting = iter(range(len(requests)))
        running: set[int] = set()
        while True:
            while len(running) < most and (place := next(waiting, None)) is not None:
                parameters = SamplingParams(
                    **self.sampling.arguments(requests[place].seed),
                    stop=self.sampling.stop,
                    stop_token_ids=stop_ids,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                try:
                    engine.add_request(str(place), self._prompt(requests[place].item), parameters)
                except (ValueError, VLLMValidationError) as error:
                    # Of an image that a processor does not take, only the cause says why.
                    cause = "" if error.__cause__ is None else f" ({error.__cause__})"
                    yield refused(requests[place], f"{error}{cause}")
                else:
                    running.add(place)
            if not running:
                return
            try:
                outputs = engine.step()
            except EngineDeadError as error:
                raise EvaluationError(
                    f"vLLM has ended ({error}); its own messages above say why. Every answer so far is saved; the same "
                    "command asks for the missing ones, and --vllm-argument max_num_seqs=… makes vLLM need less memory."
                ) from error
            for output in outputs:
                if output.finished:
                    sample = output.outputs[0]
                    # vLLM appends random characters to request names, after a dash.
                    place = int(output.request_id.split("-")[0])
                    running.remove(place)
                    yield Completion(requests[place], sample.text, str(sample.finish_reason), len(sample.token_ids))


def _opened(image: dict[str, Any]) -> Any:
    from PIL import Image

    try:
        return Image.open(io.BytesIO(image["bytes"]), formats=FORMATS).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of these
        raise ValueError("the image cannot be opened") from error


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
                except self.ray.exceptions.RayError as error:
                    cause = getattr(error, "cause", None)
                    if isinstance(cause, HicraError):
                        raise cause from None
                    raise EvaluationError(
                        f"a replica has ended ({' '.join(str(error).split())[-300:]})",
                        remedy="every answer so far is saved; the same command asks for the missing ones",
                    ) from error


class EndpointEngine:
    """An OpenAI-compatible server.

    Args:
        endpoint: the server.
        sampling: how to sample.
    """

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        self.endpoint, self.sampling = endpoint, sampling

    def _question(self, request: Request, stop_ids: list[int]) -> Question:
        def image_part(image: dict[str, Any]) -> dict[str, Any]:
            data = base64.b64encode(image["bytes"]).decode()
            return {"type": "image_url", "image_url": {"url": f"data:{media_type(image['bytes'])};base64,{data}"}}

        extra = {"chat_template_kwargs": self.sampling.template_arguments, "stop_token_ids": stop_ids}
        extra = {name: value for name, value in extra.items() if value}
        optional = {"stop": self.sampling.stop, "extra_body": extra}
        arguments = self.sampling.arguments(request.seed) | {name: value for name, value in optional.items() if value}
        return Question(_parts(request.item, image_part), arguments)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """See ``Engine``; questions are made as they are asked, so that few images are in memory at a time."""
        # A vLLM server does not find special tokens in its texts either (see ``stop_token_ids``).
        single = [ids[0] for ids in map(self.endpoint.token_ids, self.sampling.stop) if ids and len(ids) == 1]
        questions = (self._question(request, single) for request in requests)
        for place, answer in self.endpoint.ask_all(questions, keep_refusals=True):
            if answer.finish_reason == REFUSED:
                yield refused(requests[place], answer.text)
            else:
                yield Completion(requests[place], answer.text, answer.finish_reason, answer.completion_tokens)
