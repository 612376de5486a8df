"""Every row of the paper's tables: a recipe, data, a benchmark, and a command that verl itself accepts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, real_tokenizer
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.cli.evaluate import evaluate
from hicra_verl.data.sources import SOURCES
from hicra_verl.data.templates import TEMPLATES
from hicra_verl.evaluation.benchmarks import TITLES
from hicra_verl.evaluation.results import row_name
from hicra_verl.evaluation.table import paper_numbers
from hicra_verl.preflight.wanted import compose
from hicra_verl.recipe_costs import markdown
from hicra_verl.recipes import Recipe, RecipeError, all_recipes, command, recipe

RECIPES = ROOT / "recipes"
ALL = all_recipes()
TRAINING = [entry for entry in ALL if entry.trains]
BY_ROW: dict[str, Any] = {"ids": lambda entry: entry.row}


# fmt: off
KNOBS = (
    "STAGES", "STOP", "BACKEND", "ROLLOUT_ENGINE", "DATA_DIR", "MODEL_PATH", "OUTPUT_DIR", "EVAL_DIR", "LOGGER", "SEED",
    "TRAIN_FILE", "TEST_FILE", "NNODES", "GPUS_PER_NODE", "CHECKPOINT", "GRAMS",
)
# fmt: on


def words_of(entry: Recipe, monkeypatch: pytest.MonkeyPatch, *overrides: str, **knobs: str) -> list[str]:
    for name in KNOBS:
        monkeypatch.delenv(name, raising=False)
    for name, value in knobs.items():
        monkeypatch.setenv(name, value)
    return shlex.split(command(entry, list(overrides)))


def composed(words: list[str]) -> Any:
    """verl's configuration from a recipe's words, accepted by verl's own validation and by HICRA's."""
    return compose(words)


def test_every_row_has_a_recipe_and_every_script_a_row() -> None:
    rows = {row["row"] for table in paper_numbers()["tables"] for row in table["rows"]}
    scripts = {path.stem for path in RECIPES.glob("*.sh")} - {"evaluate", "train"}
    assert rows <= scripts
    assert scripts == {entry.row for entry in ALL}
    assert {benchmark for table in paper_numbers()["tables"] for benchmark in table["benchmarks"]} <= set(TITLES)


def status_of(script: str) -> str:
    """What follows "Status:" in a script's head, on as many lines as it takes."""
    head = script.partition("Status:")[2].partition("\nMODEL=")[0]
    return " ".join(head.replace("\n#", " ").split())


def test_a_run_at_full_scale_can_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(RECIPES, tmp_path / "recipes")
    recorded = {"qwen25_7b_hicra": {"commit": "abc1234", "date": "2027-01-31", "log": "https://example.org/run"}}
    (tmp_path / "recipes" / "status.json").write_text(json.dumps(recorded))
    monkeypatch.setattr("hicra_verl.recipes.folder", lambda: tmp_path / "recipes")
    words = "2027-01-31, commit abc1234, log https://example.org/run"
    assert recipe("qwen25_7b_hicra").status == words
    assert status_of(f"# Status: run: {words}.\nMODEL=x") == f"run: {words}."
    assert f"| {words} |" in markdown([recipe("qwen25_7b_hicra")])
    assert recipe("qwen25_7b_grpo").status == "not yet"


@pytest.mark.parametrize("entry", ALL, **BY_ROW)
def test_the_head_of_the_script(entry: Recipe) -> None:
    text = entry.script.read_text(encoding="utf-8")
    # What recipes/status.json records stands here, too.
    assert ("not yet run at full scale by us." if entry.status == "not yet" else entry.status) in status_of(text)
    for benchmark, value in entry.numbers:  # the paper's numbers, to the digit
        assert f"{TITLES[benchmark]} {value}" in text
    assert len(text.splitlines()) < 15


@pytest.mark.parametrize("entry", TRAINING, **BY_ROW)
@pytest.mark.parametrize("backend", ["fsdp", "megatron"])
def test_verl_accepts_the_command(entry: Recipe, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(words_of(entry, monkeypatch, STAGES="none", BACKEND=backend))
    hicra = entry.row.endswith(("hicra", "high_entropy", "placebo"))
    assert config.algorithm.adv_estimator == ("hicra" if hicra else "grpo")
    # A baseline measures what a HICRA run measures, or its figures have nothing beside HICRA's.
    assert config.algorithm.hicra.measure_only == (not hicra)
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.use_kl_loss) == (0.2, 0.28, False)
    assert actor.strategy.startswith(backend)
    assert config.actor_rollout_ref.rollout.val_kwargs.temperature == 0.6
    assert (actor.optim.lr, actor.optim.weight_decay, actor.optim.lr_warmup_steps) == (1e-6, 0.1, 10)  # as DAPO
    assert bool(config.algorithm.filter_groups.enable) == entry.row.startswith("llama31_8b_instruct")
    assert (actor.entropy_coeff > 0) == (entry.method == "Entropy Reg.")
    if hicra:
        assert config.algorithm.hicra.alpha == 0.2
        assert config.algorithm.hicra.selector == ("high_entropy" if "high_entropy" in entry.row else None)
        assert ("placebo" in config.algorithm.hicra.grams) == ("placebo" in entry.row)
    thinking = config.data.apply_chat_template_kwargs.get("enable_thinking")
    assert thinking == (False if "nothink" in entry.row else None)
    files = re.findall(r"([\w]+)/([\w]+)\.parquet", f"{config.data.train_files} {config.data.val_files}")
    assert len(files) >= 2
    for template, name in files:
        assert template in TEMPLATES
        assert name in SOURCES
    context = 4096 if entry.source == "smoke" else 16384
    assert config.data.max_prompt_length + config.data.max_response_length == context


@pytest.mark.parametrize("name", ["gtpo", "random", "mask_out", "released"])
def test_any_registered_method_is_a_recipe(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for knob in KNOBS:
        monkeypatch.delenv(knob, raising=False)
    for knob, value in {"MODEL": "qwen25_7b", "METHOD": name, "STAGES": "none", "OUTPUT_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(knob, value)
    monkeypatch.setenv("PYTHON", sys.executable)
    train = replace(recipe("qwen25_7b_hicra"), script=RECIPES / "train.sh")
    config = composed(shlex.split(command(train, [])))
    hicra = config.algorithm.hicra
    assert config.algorithm.adv_estimator == "hicra"
    assert name in (hicra.selector, hicra.shaping)
    assert config.trainer.experiment_name == f"qwen25_7b_{name}"
    evaluation = replace(train, script=RECIPES / "evaluate.sh")
    (tmp_path / "global_step_1" / "actor").mkdir(parents=True)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("1")
    words = shlex.split(command(evaluation, ["qwen25_7b", name]))
    own = words[words.index("--row") + 1]
    assert row_name(own, {entry.row for entry in ALL}) == f"qwen25_7b_{name}"


def test_a_run_leaves_what_its_figures_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = composed(words_of(recipe("llama31_8b_base_grpo"), monkeypatch, STAGES="none")).trainer
    assert "file" in trainer.logger
    assert trainer.rollout_data_dir == f"{trainer.default_local_dir}/rollouts"
    assert trainer.validation_data_dir == f"{trainer.default_local_dir}/validation"


def test_validation_samples_as_the_evaluation_does(monkeypatch: pytest.MonkeyPatch) -> None:
    validation = composed(
        words_of(recipe("qwen25_7b_hicra"), monkeypatch, STAGES="none")
    ).actor_rollout_ref.rollout.val_kwargs
    options = signature(evaluate).parameters
    assert (validation.temperature, validation.top_p) == (options["temperature"].default, options["top_p"].default)


def test_prompts_with_images_are_filtered_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 39K images is opened to count its tokens, at every start; verl's default is one process."""
    config = composed(words_of(recipe("qwen25_vl_7b_hicra"), monkeypatch, STAGES="none"))
    assert config.data.filter_overlong_prompts_workers > 1


def test_megatron_recomputes_activations_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, STAGES="none", BACKEND="megatron"))
    settings = config.actor_rollout_ref.actor.megatron.override_transformer_config
    wanted = ("full", "uniform", 1)
    assert (settings.recompute_granularity, settings.recompute_method, settings.recompute_num_layers) == wanted


@pytest.mark.parametrize("entry", [entry for entry in TRAINING if entry.source != "smoke"], **BY_ROW)
def test_the_stages(entry: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage's settings compose too, and the whole context is the paper's 16K, then 32K."""
    from hicra_verl.training.stages import load_plan
    from hicra_verl.training.supervisor import Supervisor

    words = words_of(entry, monkeypatch)
    plan_path = Path(words[words.index("stages") + 1])
    Supervisor(plan_path, words[words.index("--") + 1 :])  # refuses a command that sets what a stage sets
    lengths = []
    for stage in load_plan(plan_path).stages:
        config = composed([*words, *(f"{name}={value}" for name, value in stage.settings.items())])
        lengths.append(config.data.max_prompt_length + config.data.max_response_length)
        assert config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu >= lengths[-1]
    assert lengths == [16384, 32768]


@pytest.mark.parametrize("entry", [entry for entry in ALL if not entry.trains], **BY_ROW)
def test_the_evaluations_parse(entry: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`hicra eval` takes the words: with no data prepared, that is all it has to say."""
    words = words_of(entry, monkeypatch, DATA_DIR=str(tmp_path), EVAL_DIR=str(tmp_path / "out"))
    assert words[1:4] == ["-m", "hicra_verl.cli", "eval"]
    done = CliRunner().invoke(app, words[3:])
    assert done.exit_code == 2
    assert "`hicra data" in done.output
    benchmarks = {benchmark for benchmark, _ in entry.numbers}
    assert benchmarks <= set(words)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("actor_rollout_ref.actor.clip_ratio_hihg=0.3", "clip_ratio_hihg"),
        ("algorithm.hicra.alfa=0.3", "alfa"),
        ("algorithm.hicra.alpha=2", "0 <= alpha < 1"),
        ("actor_rollout_ref.actor.loss_agg_mode=tokenmean", "loss_agg_mode"),
    ],
)
def test_a_wrong_flag_is_caught_without_a_gpu(wrong: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, wrong, STAGES="none"))


@pytest.mark.parametrize("knobs", [{}, {"STAGES": "none"}], ids=["stages", "one stage"])
def test_every_training_is_supervised(knobs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Staged or not: the supervisor names the metrics files and the tracker's run, and resumes after a crash."""
    words = words_of(recipe("qwen25_7b_grpo"), monkeypatch, **knobs)
    assert words[1:4] == ["-m", "hicra_verl.cli", "stages"]
    assert Path(words[4]).exists()
    assert "--stop" not in words
    stopping = words_of(recipe("qwen25_7b_grpo"), monkeypatch, STOP="1", **knobs)
    assert stopping[5:7] == ["--stop", "--"]


def test_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray actor's folder is that of `ray start`, so a relative path would part ways."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    knobs = {"DATA_DIR": "my data", "OUTPUT_DIR": "./out", "MODEL_PATH": "tiny", "TEST_FILE": "t.parquet"}
    config = composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, STAGES="none", **knobs))
    names = ("dapo_math_17k", "deepscaler")
    assert list(config.data.train_files) == [f"{tmp_path}/my data/qwen/{name}.parquet" for name in names]
    assert config.data.val_files == f"{tmp_path}/t.parquet"
    assert config.trainer.default_local_dir == f"{tmp_path}/out"
    assert config.actor_rollout_ref.model.path == f"{tmp_path}/tiny"
    knobs = {"TRAIN_FILE": '["a.parquet", /b.parquet,s3://c/d.parquet]', "OUTPUT_DIR": "~/out"}
    config = composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, STAGES="none", **knobs))
    assert list(config.data.train_files) == [f"{tmp_path}/a.parquet", "/b.parquet", "s3://c/d.parquet"]
    assert config.trainer.default_local_dir == str(Path("~/out").expanduser())
    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-7B"  # no such folder: the hub's name


def test_another_seed_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = recipe("qwen25_7b_grpo")
    first, second = (composed(words_of(entry, monkeypatch, STAGES="none", SEED=seed)) for seed in ("1", "2"))
    for read in (
        lambda config: config.data.seed,
        lambda config: config.actor_rollout_ref.actor.data_loader_seed,
        lambda config: config.actor_rollout_ref.rollout.seed,
        lambda config: config.trainer.experiment_name,
        lambda config: config.trainer.default_local_dir,
    ):
        assert read(first) != read(second)
    assert second.trainer.experiment_name == "qwen25_7b_grpo-seed2"
    # verl adds an engine's number to its seed: two runs must share none.
    assert abs(first.actor_rollout_ref.rollout.seed - second.actor_rollout_ref.rollout.seed) >= 1000
    words = words_of(recipe("qwen25_7b_base"), monkeypatch, SEED="2")
    assert words[words.index("--output") + 1] == "results/qwen25_7b_base-seed2"
    assert words[words.index("--seed") + 1] == "2"
    assert words[words.index("--row") + 1] == "qwen25_7b_base"


def test_the_other_rollout_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(words_of(recipe("qwen25_7b_hicra"), monkeypatch, STAGES="none", ROLLOUT_ENGINE="sglang"))
    assert config.actor_rollout_ref.rollout.name == "sglang"
    assert not config.actor_rollout_ref.rollout.engine_kwargs.get("vllm", {}).get("generation_config")


def test_llama_base_begins_as_llama_texts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokenised as verl does it, with no special tokens added to the template's text: exactly one BOS."""
    config = composed(words_of(recipe("llama31_8b_base_grpo"), monkeypatch, STAGES="none"))
    tokenizer = real_tokenizer("llama3")
    tokenizer.chat_template = config.actor_rollout_ref.model.custom_chat_template
    message = [{"role": "user", "content": "What is 2+2?"}]
    ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=True)["input_ids"]
    assert (ids[0], ids.count(tokenizer.bos_token_id)) == (tokenizer.bos_token_id, 1)
    assert tokenizer.decode(ids[1:]) == "What is 2+2?"


@pytest.mark.parametrize("row", ["qwen25_7b", "qwen3_4b_base", "qwen3_4b_instruct"])
def test_where_a_response_of_qwen_ends(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the base models alone the published settings leave out the token that ends a turn of the chat template."""
    evaluation = words_of(recipe(f"{row}_base"), monkeypatch)
    config = composed(words_of(recipe(f"{row}_hicra"), monkeypatch, STAGES="none"))
    engine = config.actor_rollout_ref.rollout.engine_kwargs.get("vllm") or {}
    if row == "qwen3_4b_instruct":
        assert "--stop" not in evaluation
        assert "generation_config" not in engine
        return
    assert evaluation[evaluation.index("--stop") + 1] == "<|im_end|>"
    settings = json.loads((Path(engine.generation_config) / "generation_config.json").read_text())
    ends = real_tokenizer("qwen3").convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert settings["eos_token_id"] == ends


MARK = re.compile(r"#.*(\bpaper\b|\bours\b|as DAPO|verl's default)")
SETTING = re.compile(r"[+~\w]+(?:\.[\w]+)+=|\+hicra=|model_engine=|(?:[A-Z_]+=(?:\$\{[A-Z_]+:-)?\d)")
PASSED_ON = re.compile(r'[\w.+]+="\$\{[A-Z_]+\}"\)?$')  # what a knob holds is marked at the knob


def test_every_value_carries_a_mark() -> None:
    unmarked = []
    for path in sorted((RECIPES / "shared").rglob("*.sh")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = line.split(" #")[0].strip()
            if not SETTING.search(code) or code.startswith("#") or PASSED_ON.search(code.split(" ")[-1]):
                continue
            if not MARK.search(line):
                unmarked.append(f"{path.name}:{number}: {code}")
    # STOP and RECIPE_DRY_RUN choose what the script does, not how a model is trained.
    assert [line for line in unmarked if "STOP=" not in line and "DRY_RUN" not in line] == []


def evaluation_words(out: Path, monkeypatch: pytest.MonkeyPatch, **knobs: str) -> subprocess.CompletedProcess[str]:
    for name in KNOBS:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"OUTPUT_DIR": str(out), "RECIPE_DRY_RUN": "1", **knobs}.items():
        monkeypatch.setenv(name, value)
    script = str(RECIPES / "evaluate.sh")
    return subprocess.run(["bash", script, "qwen25_7b", "hicra"], capture_output=True, text=True, check=False)


def test_which_checkpoint_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = evaluation_words(tmp_path, monkeypatch)
    assert done.returncode == 2
    assert "holds no checkpoint 'newest'" in done.stderr
    for folder in ("global_step_20", "global_step_30", "best/global_step_10", "best/.global_step_15"):
        (tmp_path / folder / "actor").mkdir(parents=True)
    (tmp_path / "best" / "best.json").write_text('{"step": 10, "metric": "m", "value": 0.5, "kept_as": "hard links"}\n')
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("20")  # 30 was cut short
    for knobs, folder in (
        ({}, "global_step_20"),
        ({"CHECKPOINT": "best"}, "best/global_step_10"),
        ({"CHECKPOINT": f"{tmp_path}/global_step_30"}, "global_step_30"),
    ):
        words = shlex.split(evaluation_words(tmp_path, monkeypatch, **knobs).stdout)
        assert words[words.index("--model") + 1] == f"{tmp_path}/{folder}/merged"
        assert words[words.index("--row") + 1] == "qwen25_7b_hicra"
        assert words[words.index("--replicas") + 1] == "8"
    given = shlex.split(evaluation_words(tmp_path, monkeypatch, MODEL_PATH="some/model").stdout)
    assert given[given.index("--model") + 1] == "some/model"


def test_the_command_line() -> None:
    listed = CliRunner().invoke(app, ["recipes"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    assert all(entry.row in listed.output for entry in ALL)
    shown = CliRunner().invoke(app, ["recipes", "show", "qwen25_7b_hicra", "trainer.nnodes=4"])
    assert shown.exit_code == 0
    assert shown.output.strip().endswith("trainer.nnodes=4")
    wrong = CliRunner().invoke(app, ["recipes", "show", "qwen25_7b_hikra"])
    assert wrong.exit_code == 2
    assert "did you mean 'qwen25_7b_hicra'?" in wrong.output
    with pytest.raises(RecipeError):
        recipe("x")


def test_shellcheck() -> None:
    scripts = [str(path) for path in RECIPES.rglob("*.sh")]
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, "-x", "-e", "SC1091", *scripts], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_page_names_every_row() -> None:
    text = (RECIPES / "README.md").read_text(encoding="utf-8")
    for entry in ALL:
        assert f"`{entry.row}.sh`" in text
        for _, value in entry.numbers:
            assert f"{value:.1f}" in text
