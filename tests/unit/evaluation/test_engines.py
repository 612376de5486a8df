"""What generates: vLLM kept full with few requests at a time, replicas on Ray, servers; stop texts; refusals."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, real_tokenizer
from fake_server import FakeServer, Refused
from PIL import Image
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.data.prepare import verl_row
from hicra_verl.data.problems import Problem
from hicra_verl.endpoint import REFUSED, Endpoint, EndpointError, Question
from hicra_verl.evaluation import engines
from hicra_verl.evaluation.benchmarks import EvaluationError, Item, load_benchmark
from hicra_verl.evaluation.engines import EndpointEngine, VllmEngine
from hicra_verl.evaluation.run import evaluate, finished_samples, load_samples, samples_file
from hicra_verl.evaluation.sampling import Completion, Request, Sampling
from hicra_verl.evaluation.summary import summarise
from hicra_verl.grading.pool import GradingPool
from hicra_verl.grams import load_grams
from hicra_verl.records import InputError

# --- vLLM -------------------------------------------------------------------------------------------------------------


class FakeLlm:
    """Stands for ``vllm.LLM`` and its engine (v1/engine/llm_engine.py).

    Seen in the real one and kept: requests get random characters after a dash; they finish in any order, several in a
    step or none; a prompt too long for the model raises in ``add_request``, in 0.28 an error that is no ValueError.
    """

    def __init__(self, max_num_seqs: int) -> None:
        scheduler = types.SimpleNamespace(max_num_seqs=max_num_seqs)
        self.llm_engine = self
        self.vllm_config = types.SimpleNamespace(scheduler_config=scheduler)
        self.rng = random.Random(0)
        self.running: dict[str, Any] = {}
        self.most = 0
        self.fewest_while_more_waited = 10**9
        self.left = 0
        self.parameters: list[Any] = []

    def get_tokenizer(self) -> FakeLlm:
        return self

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool, **more: Any) -> str:
        return str(messages[0]["content"])

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(character) for character in text]

    def add_request(self, name: str, prompt: dict[str, Any], parameters: Any) -> str:
        self.left -= 1
        if len(prompt["prompt_token_ids"]) > 20:
            raise sys.modules["vllm.exceptions"].VLLMValidationError("The decoder prompt (length 21) is longer than 20")
        self.parameters.append(parameters)
        self.running[f"{name}-{self.rng.randrange(16**8):08x}"] = prompt
        self.most = max(self.most, len(self.running))
        return name

    def step(self) -> list[Any]:
        if self.left:
            self.fewest_while_more_waited = min(self.fewest_while_more_waited, len(self.running))
        outputs = [types.SimpleNamespace(finished=False, request_id="0-x", outputs=[])]
        done = self.rng.sample(sorted(self.running), min(len(self.running), self.rng.randrange(4)))
        for name in done:
            text = "".join(map(chr, self.running.pop(name)["prompt_token_ids"]))
            output = types.SimpleNamespace(text=f"\\boxed{{{text}}}", finish_reason="stop", token_ids=[1, 2])
            outputs.append(types.SimpleNamespace(finished=True, request_id=name, outputs=[output]))
        return outputs


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that the engine takes from vLLM, whose import takes 15 s."""
    vllm, exceptions, parameters = (types.ModuleType(f"vllm{name}") for name in ("", ".exceptions", ".sampling_params"))
    vllm.SamplingParams = lambda **named: types.SimpleNamespace(**named)  # type: ignore[attr-defined]
    exceptions.VLLMValidationError = type("VLLMValidationError", (Exception,), {})  # type: ignore[attr-defined]
    parameters.RequestOutputKind = types.SimpleNamespace(FINAL_ONLY=2)  # type: ignore[attr-defined]
    dead = types.ModuleType("vllm.v1.engine.exceptions")
    dead.EngineDeadError = type("EngineDeadError", (Exception,), {})  # type: ignore[attr-defined]
    packages = [types.ModuleType(name) for name in ("vllm.v1", "vllm.v1.engine")]
    for module in (vllm, exceptions, parameters, dead, *packages):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def vllm_engine(llm: FakeLlm, stop: list[str] | None = None) -> VllmEngine:
    engine = VllmEngine.__new__(VllmEngine)  # not __init__, which loads a model
    engine.sampling, engine.llm, engine.processor = Sampling(0.6, 0.95, 16, stop or []), llm, None
    return engine


def item(text: str, answer: str = "1", uid: str | None = None, benchmark: str = "amc23") -> Item:
    return Item(benchmark, uid or text, [{"role": "user", "content": text}], [], answer, "math", None)


@pytest.mark.usefixtures("fake_vllm")
def test_few_requests_are_in_flight_and_vllm_stays_full() -> None:
    """All at once, with their images opened, they filled the memory before the first step."""
    llm = FakeLlm(max_num_seqs=8)
    requests = [Request(item(f"p{number}"), sample, number) for number in range(100) for sample in range(3)]
    llm.left = len(requests)
    engine, opened = vllm_engine(llm), 0
    prompt = engine._prompt

    def counted(problem: Item) -> dict[str, Any]:
        nonlocal opened
        opened += 1
        return prompt(problem)

    engine._prompt = counted  # type: ignore[method-assign]
    found = []
    for completion in engine.generate(requests):
        found.append(completion)
        assert opened <= len(found) + 2 * 8 + 3  # three may have finished in the same step
    assert llm.most == 2 * 8
    assert llm.fewest_while_more_waited >= 8  # vLLM had a sequence for each of its places while there were any
    assert [request.seed for request in requests] == [parameters.seed for parameters in llm.parameters]
    assert sorted((done.request.item.uid, done.request.sample) for done in found) == sorted(
        (request.item.uid, request.sample) for request in requests
    )
    assert all(done.text == f"\\boxed{{{done.request.item.uid}}}" for done in found)
    assert [done.request.seed for done in found] != [request.seed for request in requests]  # finished in another order


@pytest.mark.usefixtures("fake_vllm")
def test_a_request_that_vllm_refuses_is_a_sample_like_any_other(tmp_path: Path) -> None:
    problems = [item("p1", "p1"), item("far too long a prompt for it"), item("p2", "p3"), item("", uid="empty")]
    llm = FakeLlm(max_num_seqs=1)
    with GradingPool() as pool:
        evaluate(problems, {"amc23": 2}, lambda: vllm_engine(llm), tmp_path, 0, pool)
    samples = finished_samples(problems, {"amc23": 2}, tmp_path)["amc23"]
    assert len(samples) == 8
    no_answer = [sample for sample in samples if sample.finish_reason == REFUSED]
    assert [(sample.uid, sample.grade, sample.correct, sample.tokens) for sample in no_answer] == [
        ("far too long a prompt for it", REFUSED, False, 0)
    ] * 2
    assert no_answer[0].refusal == "The decoder prompt (length 21) is longer than 20"
    figures = summarise(samples, load_grams("paper"))
    assert (figures["problems"], figures["samples"], figures["pass@1"]) == (4, 8, 0.25)
    assert figures["finish_reasons"] == {"refused": 2, "stop": 6}
    assert figures["grades"] == {"equal": 2, "different": 2, "no_answer": 2, "refused": 2}
    assert figures["length_tokens"] == 2.0  # of the responses there are
    assert figures["per_problem"] == {
        "empty": [2, 0],
        "far too long a prompt for it": [2, 0],
        "p1": [2, 2],
        "p2": [2, 0],
    }


@pytest.mark.usefixtures("fake_vllm")
def test_what_was_refused_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    """The same command with a longer context (--vllm-argument max_model_len=…) fills the gap."""
    problems = [item("p1"), item("far too long a prompt for it")]
    with GradingPool() as pool:
        evaluate(problems, {"amc23": 1}, lambda: vllm_engine(FakeLlm(2)), tmp_path, 0, pool)
        longer = FakeLlm(2)
        longer.encode = lambda text, add_special_tokens: [ord(character) for character in text[:20]]  # type: ignore[method-assign]
        evaluate(problems, {"amc23": 1}, lambda: vllm_engine(longer), tmp_path, 0, pool)
    assert len(longer.parameters) == 1
    assert samples_file(tmp_path, "amc23").read_text().count("\n") == 3
    samples = load_samples(samples_file(tmp_path, "amc23"))
    assert sorted(sample.finish_reason for sample in samples) == ["stop", "stop"]


@pytest.mark.usefixtures("fake_vllm")
def test_when_vllm_ends_what_was_answered_is_saved(tmp_path: Path) -> None:
    """As when its process runs out of memory."""
    llm, problems = FakeLlm(2), [item(f"p{number}") for number in range(9)]
    step = llm.step

    def until_it_dies() -> list[Any]:
        if llm.left <= 3:
            raise sys.modules["vllm.v1.engine.exceptions"].EngineDeadError("EngineCore encountered an issue")
        return step()

    llm.left, llm.step = len(problems), until_it_dies  # type: ignore[method-assign]
    with GradingPool() as pool, pytest.raises(EvaluationError, match="EngineCore encountered an issue.*is saved"):
        evaluate(problems, {"amc23": 1}, lambda: vllm_engine(llm), tmp_path, 0, pool)
    assert len(load_samples(samples_file(tmp_path, "amc23"))) >= 2


class Forgetful:
    """An engine that loses a request."""

    def generate(self, requests: list[Request]) -> Iterator[Completion]:
        for request in requests[1:]:
            yield Completion(request, "\\boxed{1}", "stop", 1)


def test_a_sample_without_an_answer_is_no_result(tmp_path: Path) -> None:
    problems = [item("p1"), item("p2")]
    with GradingPool() as pool:
        evaluate(problems, {"amc23": 1}, Forgetful, tmp_path, 0, pool)
    with pytest.raises(EvaluationError, match=r"1 of 2 samples of amc23 have no answer \(first: p1\)"):
        finished_samples(problems, {"amc23": 1}, tmp_path)
    with pytest.raises(EvaluationError, match=r"1 samples that belong to no problem of amc23 \(first: p2\)"):
        finished_samples([], {"amc23": 1}, tmp_path)


@pytest.mark.parametrize("name", ["byte_level", "qwen3"])
def test_special_tokens_stop_by_their_id(name: str) -> None:
    """`<|im_end|>` is in no text that vLLM decodes; `</think>` is an added token, but not a special one."""
    tokenizer = real_tokenizer(name)
    texts = ["<|im_end|>", "</think>", "\n\n", "Problem:", "<|endoftext|>"]
    expected = {"byte_level": [602, 600], "qwen3": [151645, 151643]}[name]
    assert engines.stop_token_ids(texts, tokenizer) == expected


@pytest.mark.usefixtures("fake_vllm")
def test_stop_texts_reach_vllm() -> None:
    llm = FakeLlm(2)
    llm.decode = lambda ids, skip_special_tokens: "" if ids == [ord("#")] else "x"  # type: ignore[attr-defined]
    list(vllm_engine(llm, ["#", "END"]).generate([Request(item("p"), 0, 0)]))
    assert (llm.parameters[0].stop, llm.parameters[0].stop_token_ids) == (["#", "END"], [ord("#")])


# --- Ray --------------------------------------------------------------------------------------------------------------


class Echo:
    """Stands for vLLM on one GPU."""

    def __init__(self, model: str, sampling: engines.Sampling, arguments: dict[str, Any]) -> None:
        self.where = arguments["tensor_parallel_size"]

    def generate(self, requests: list[engines.Request]) -> Iterator[engines.Completion]:
        for request in requests:
            yield engines.Completion(request, f"{request.item.uid} {self.where}", "stop", 1)


def test_requests_are_dealt_out_over_a_ray_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(engines, "VllmEngine", Echo)
    folders = (ROOT, ROOT / "tests", ROOT / "tests" / "support", Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    ray.init(num_gpus=4, num_cpus=4, include_dashboard=False, object_store_memory=100_000_000)  # logical ones
    try:
        sampling = engines.Sampling(0.6, 0.95, 16)
        requests = [engines.Request(Item("amc23", str(n), [], [], "1", "math", None), 0, n) for n in range(7)]
        engine = engines.RayVllmEngine(2, 2, "m", sampling, {})
        done = list(engine.generate(requests))
        assert sorted(completion.text for completion in done) == [f"{n} 2" for n in range(7)]
        assert sorted(completion.request.seed for completion in done) == list(range(7))
        with pytest.raises(EvaluationError, match="3 replicas of 2 GPUs each, but Ray has 4"):
            engines.RayVllmEngine(3, 2, "m", sampling, {})
    finally:
        ray.shutdown()


# --- a server ---------------------------------------------------------------------------------------------------------


def png(mode: str = "RGB", form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (4, 4)).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(("form", "name"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", "gif")])
def test_images_are_sent_as_what_they_are(form: str, name: str) -> None:
    """MathVision's are JPEG; all were called PNG, which strict servers refuse."""
    data = png(form=form)
    problem = Item(
        "emma", "e", [{"role": "user", "content": "a <image> b <image>"}], [{"bytes": data}] * 2, "1", "math", None
    )
    server = FakeServer(lambda body: "\\boxed{1}")
    try:
        engine = EndpointEngine(Endpoint(server.url, "m"), Sampling(0.6, 0.95, 16))
        assert len(list(engine.generate([Request(problem, 0, 0)]))) == 1
    finally:
        server.close()
    content = server.asked[0]["messages"][0]["content"]
    assert [part.get("text") for part in content] == ["a ", None, " b ", None]
    url = content[1]["image_url"]["url"]
    assert url == f"data:image/{name};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("tokens", [None, {"<|im_end|>": [151645], "END": [1, 2]}])
def test_stop_texts_reach_a_server(tokens: dict[str, list[int]] | None) -> None:
    """A vLLM server does not find special tokens either: it is asked for their ids. Others have no /tokenize."""
    server = FakeServer(lambda body: "\\boxed{1}", tokens=tokens)
    try:
        engine = EndpointEngine(Endpoint(server.url, "m"), Sampling(0.6, 0.95, 16, ["<|im_end|>", "END"]))
        list(engine.generate([Request(item("p"), 0, 0)]))
    finally:
        server.close()
    assert server.asked[0]["stop"] == ["<|im_end|>", "END"]
    assert server.asked[0].get("stop_token_ids") == (None if tokens is None else [151645])


def test_questions_are_made_as_they_are_asked() -> None:
    """Each holds its images once more, in base64."""
    made = 0

    def questions() -> Iterator[Question]:
        nonlocal made
        for number in range(30):
            made += 1
            yield Question([{"role": "user", "content": str(number)}], {})

    server = FakeServer(lambda body: body["messages"][0]["content"])
    try:
        answered = 0
        for place, answer in Endpoint(server.url, "m", concurrency=3).ask_all(questions()):
            answered += 1
            assert answer.text == str(place)
            assert made <= answered + 3 + 3  # in flight, and answered at the same time
    finally:
        server.close()
    assert made == answered == 30


def test_a_refusal_ends_the_asking_unless_it_is_to_be_kept() -> None:
    server = FakeServer(lambda body: "yes", lambda n: "400" if n == 2 else None)
    try:
        endpoint = Endpoint(server.url, "m", concurrency=1)
        questions = [Question([{"role": "user", "content": str(number)}], {}) for number in range(4)]
        with pytest.raises(EndpointError, match="spoilt"):
            list(endpoint.ask_all(questions))
        server.requests = 0
        found = dict(endpoint.ask_all(questions, keep_refusals=True))
    finally:
        server.close()
    assert [found[place].finish_reason for place in range(4)] == ["stop", REFUSED, "stop", "stop"]
    assert "spoilt" in found[1].text


def write(folder: Path, rows: list[dict[str, Any]], name: str = "amc23", template: str = "qwen") -> None:
    (folder / template).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / template / f"{name}.parquet")


def eval_words(folder: Path, url: str, *more: str) -> list[str]:
    words = ["eval", "--model", "m", "--base-url", url, "--data", str(folder), "-o", str(folder / "out")]
    return [*words, "--samples", "1", "--timeout-s", "5", *more]


def test_refusals_of_a_server_are_counted_and_printed(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        if "7 " in text:
            raise Refused("This model's maximum context length is 20 tokens")
        return "\\boxed{5}"

    write(tmp_path, [verl_row(Problem(f"Is it {n} ?", "5"), "amc23", n, "qwen", False) for n in range(10)])
    server = FakeServer(reply)
    try:
        done = CliRunner().invoke(app, eval_words(tmp_path, server.url, "amc23", "--stop", "<|im_end|>"))
        assert done.exit_code == 0, done.output
        output = done.output.replace("\n", " ")
        assert "amc23: counted as wrong because the engine refused the request: 1 of 10 samples" in output
        assert "maximum context length is 20 tokens" in output
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())["benchmarks"]["amc23"]
        assert (summary["problems"], summary["samples"], summary["pass@1"]) == (10, 10, 0.9)
        assert (tmp_path / "out" / "summary.json").read_text().count("[1, 1]") == 9  # a problem a line
        settings = json.loads((tmp_path / "out" / "settings.json").read_text())
        assert settings["sampling"]["stop"] == ["<|im_end|>"]
        shown = CliRunner().invoke(app, ["table", str(tmp_path / "out"), "--format", "markdown"])
        assert "AMC23: 1 samples are wrong because the engine refused the request" in shown.output
        more = CliRunner().invoke(app, eval_words(tmp_path, server.url, "amc23"))
        assert more.exit_code == 2  # without the stop text it is another evaluation
        assert "'stop': ['<|im_end|>']" in more.output.replace("\n", " ")
    finally:
        server.close()


def test_when_all_requests_are_refused_there_is_no_result(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        raise Refused("max_tokens is too large")

    write(tmp_path, [verl_row(Problem(f"Is it {n} ?", "5"), "amc23", n, "qwen", False) for n in range(3)])
    server = FakeServer(reply)
    try:
        done = CliRunner().invoke(app, eval_words(tmp_path, server.url, "amc23"))
    finally:
        server.close()
    assert done.exit_code == 2
    assert "amc23: each of the 3 requests was refused" in done.output
    assert "max_tokens is too large" in done.output
    assert not (tmp_path / "out" / "summary.json").exists()


# --- what a benchmark's file may hold ---------------------------------------------------------------------------------


def rows(count: int = 2, images: int = 0, **more: Any) -> list[dict[str, Any]]:
    pictures = tuple({"bytes": png()} for _ in range(images))
    return [verl_row(Problem(f"P{n}", "5", images=pictures, **more), "emma", n, "vision", False) for n in range(count)]


def spoilt(change: Any, images: int = 0) -> list[dict[str, Any]]:
    found = rows(3, images)
    change(found[1])
    return found


@pytest.mark.parametrize(
    ("table", "message"),
    [
        # MathVision: 335 of 3,040 questions name their one composite image several times.
        (
            spoilt(lambda row: row["prompt"][0].update(content="<image> and <image>: which?"), 1),
            "emma-1 has 2 <image> in its prompt but 1 images",
        ),
        (spoilt(lambda row: row["prompt"][0].update(content="no tag"), 1), "emma-1 has 0 <image> in its prompt but 1"),
        (spoilt(lambda row: row["prompt"][0].update(content="<image>")), "emma-1 has 1 <image> in its prompt but 0"),
        (spoilt(lambda row: row["images"][0].update(bytes=None), 1), "emma-1 has an image without bytes"),
        (spoilt(lambda row: row["extra_info"].update(uid="emma-0")), "two problems are called emma-0"),
        (spoilt(lambda row: row["reward_model"].update(ground_truth=None)), "emma-1 is not in verl's format"),
        ([{"question": "P"}], "it needs prompt (chat messages)"),
        (rows(2)[:0] or pa.schema({"prompt": pa.string()}), "holds no rows"),
    ],
)
def test_rows_that_cannot_be_asked_are_refused_before_anything_is(table: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "vision").mkdir()
    found = table.empty_table() if isinstance(table, pa.Schema) else pa.Table.from_pylist(table)
    pq.write_table(found, tmp_path / "vision" / "emma.parquet")
    server = FakeServer(lambda body: "\\boxed{5}")
    try:
        words = eval_words(tmp_path, server.url, "emma", "--template", "vision")
        done = CliRunner().invoke(app, words)
    finally:
        server.close()
    assert done.exit_code == 2, done.output
    assert message in done.output.replace("\n", " ")
    assert "emma" in done.output
    assert not server.asked
    assert not (tmp_path / "out").exists()


def test_a_benchmark_of_ones_own(tmp_path: Path) -> None:
    """In verl's format, without what only `hicra data` adds."""
    plain = [
        {
            "data_source": "mine",
            "prompt": [{"role": "user", "content": f"Is it {number} ?"}],
            "reward_model": {"style": "rule", "ground_truth": ["4", "5"]},
            "extra_info": {"index": number + 100},
        }
        for number in range(3)
    ]
    write(tmp_path, plain, "my_set")
    server = FakeServer(lambda body: "\\boxed{5}")
    try:
        words = eval_words(tmp_path, server.url, "my_set", "--row", "new:qwen25_7b_gspo")
        done = CliRunner().invoke(app, words)
    finally:
        server.close()
    assert done.exit_code == 0, done.output
    assert len(server.asked) == 3
    samples = load_samples(tmp_path / "out" / "samples" / "my_set.jsonl")
    assert sorted(sample.uid for sample in samples) == ["my_set-100", "my_set-101", "my_set-102"]
    assert all(sample.correct for sample in samples)
    shown = CliRunner().invoke(app, ["table", str(tmp_path / "out"), "--format", "markdown"])
    assert "**Other benchmarks: " in shown.output
    assert "| Qwen2.5-7B-Base | gspo | ours | 100.0 [100.0, 100.0] |" in shown.output


def test_further_benchmarks_go_into_the_same_folder(tmp_path: Path) -> None:
    for name in ("amc23", "minerva"):
        write(tmp_path, [verl_row(Problem(f"Is it {n} ?", "5"), name, n, "qwen", False) for n in range(2)], name)
    server = FakeServer(lambda body: "\\boxed{5}")
    try:
        for name in ("amc23", "minerva", "amc23"):
            done = CliRunner().invoke(app, eval_words(tmp_path, server.url, name))
            assert done.exit_code == 0, done.output
    finally:
        server.close()
    assert len(server.asked) == 4
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {name: figures["pass@1"] for name, figures in summary["benchmarks"].items()} == {"amc23": 1, "minerva": 1}


def test_names_of_benchmarks_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="amc22: no such benchmark; did you mean 'amc23'"):
        load_benchmark("amc22", tmp_path)
    with pytest.raises(EvaluationError, match=r"One of your own is a file in verl's format: .*mine\.parquet"):
        load_benchmark("mine", tmp_path)
    with pytest.raises(EvaluationError, match="no such benchmark"):
        load_benchmark("../mine", tmp_path)
    (tmp_path / "amc23.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"amc23\.parquet: not a readable Parquet file"):
        load_benchmark("amc23", tmp_path)
