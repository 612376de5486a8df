"""`hicra forks`: where a model is uncertain, and where it plans."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_model
import torch
from typer.testing import CliRunner

from hicra_verl.analysis import forks
from hicra_verl.cli import app
from hicra_verl.grams import load_grams
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.token_bytes import token_bytes
from hicra_verl.training.token_ids import TokenIdWriter, read_token_ids

GRAMS = load_grams("paper")


# --- forks ------------------------------------------------------------------------------------------------------------


def test_portions_by_hand() -> None:
    entropy = np.array([4.0, 3.0, 0.1, 0.2, 0.0, 2.0, 0.3, 0.1, 0.1, 0.2])
    planning = np.array([True, False, True, False, False, True, False, False, False, False])
    function = np.where(planning, 0, -1)
    function[2] = 2
    one = forks.TokenTrace(["x"] * 10, entropy, planning, function)
    found = forks.portions([one], 0.3)  # 4.0, 3.0, 2.0
    assert found["planning_high_entropy_fraction"] == pytest.approx(2 / 3)
    assert found["high_entropy_planning_fraction"] == pytest.approx(2 / 3)
    assert found["deduction_high_entropy_fraction"] == 1.0
    assert found["backtracing_high_entropy_fraction"] == 0.0
    assert math.isnan(found["branching_high_entropy_fraction"])
    low, high = forks.interval([one, one], 0.3)["planning_high_entropy_fraction"]
    assert low == high == pytest.approx(2 / 3)
    assert "underlined" in forks.render([one], "t")


def test_forks_with_a_model(tmp_path: Path) -> None:
    """Entropies against the definition, token by token, and the command."""
    tokenizer = tiny_model.train_tokenizer(["so we can see that 2 + 2 is 4, but wait, let's try 7."] * 3)
    torch.manual_seed(0)
    model = tiny_model.new_model(tokenizer).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    prompt, response = "2 + 2", "so we can see that 4"
    reading = forks.tokenised(tokenizer, prompt, response)
    assert reading is not None
    assert forks.tokenised(tokenizer, prompt, "") is None
    (entropy,) = forks.token_entropies(model, [reading], 0.7)
    before, ids = tokenizer(prompt)["input_ids"], reading.response
    for place in range(len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *ids[:place]]])).logits[0, -1] / 0.7
        probabilities = torch.softmax(logits.double(), dim=-1)
        expected = -sum(p * math.log(p) for p in probabilities.tolist())
        assert entropy[place] == pytest.approx(expected, abs=1e-4)
    rows = [{"problem": prompt, "response": response}, {"input": prompt, "output": "but wait, 7"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["forks", str(tmp_path / "r.jsonl"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Paper, at the top 30%" in done.output
    with (tmp_path / "out" / "forks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 6
    assert {row["read_from"] for row in rows} == {"text"}
    assert "warning: read from text" in done.stderr
    assert "algorithm.hicra.token_ids=true" in done.stderr
    assert "deduction" in (tmp_path / "out" / "forks.html").read_text()


def test_forks_from_the_token_ids_of_a_run(tmp_path: Path) -> None:
    """A template before the prompt, an end token after the response, a tool's output inside: text has none of them."""
    tokenizer = tiny_model.train_tokenizer(["so we can see that 2 + 2 is 4, but wait, let's try 7."] * 3)
    torch.manual_seed(0)
    model = tiny_model.new_model(tokenizer).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    writer, lines, live = TokenIdWriter(tmp_path / "run"), [], []
    end, rng = tokenizer.eos_token_id, np.random.default_rng(0)
    matcher = GramMatcher(GRAMS, token_bytes(tokenizer))
    for number in range(12):
        words = ["so we can see that 4", "but wait, 7", "let's try 2 + 2"]
        answer = ", ".join(words[place] for place in rng.integers(0, 3, 2))
        prompt = [end, *tokenizer("2 + 2")["input_ids"], end]
        own, tool = tokenizer(answer)["input_ids"], tokenizer(" but wait, 4")["input_ids"]
        response = [*own, *tool, end]
        mask = [1] * len(own) + [0] * len(tool) + [1]
        uid = f"p{number % 3}_{number // 3}_0"
        writer.add([uid], *([torch.tensor(ids)] for ids in (prompt, response, mask)))
        text = tokenizer.decode(response, skip_special_tokens=True)
        lines.append(json.dumps({"input": "2 + 2", "output": text, "score": 0.0, "uid": uid}) + "\n")
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].double()
        kept = np.array(mask, dtype=bool)
        entropy = torch.distributions.Categorical(logits=logits).entropy().numpy()[kept]
        found = matcher.match(np.array([response]), kept[None])
        live.append(forks.TokenTrace([""] * kept.sum(), entropy, found.planning_mask[0][kept], np.zeros(kept.sum())))
    writer.add(["pad" + "0" * 32 + "_0_0"], *([torch.tensor([end])] for _ in range(3)))
    writer.write(7)
    writer.write(8)  # nothing since: no file
    assert [path.name for path in (tmp_path / "run" / "hicra_tokens").iterdir()] == ["7.parquet"]
    dump = tmp_path / "run" / "rollouts" / "7.jsonl"
    dump.parent.mkdir()
    dump.write_text("".join(lines))
    expected = forks.portions(live, 0.3)["planning_high_entropy_fraction"]

    def measured(*words: str) -> tuple[float, str]:
        done = CliRunner().invoke(app, ["forks", *words, "--model", str(tmp_path / "model"), "-o", str(tmp_path / "o")])
        assert done.exit_code == 0, done.output
        with (tmp_path / "o" / "forks.csv").open() as stream:
            rows = {(row["threshold"], row["portion"]): row for row in csv.DictReader(stream)}
        row = rows["0.3", "planning_high_entropy_fraction"]
        return float(row["value"]), row["read_from"]

    kept = tmp_path / "run" / "hicra_tokens" / "7.parquet"
    for source in (dump, kept):  # found beside the dump, and given
        value, read_from = measured(str(source))
        assert (value, read_from) == (pytest.approx(expected), "token ids")
    kept.rename(tmp_path / "elsewhere.parquet")
    value, read_from = measured(str(dump))
    assert read_from == "text"
    assert value != pytest.approx(expected, abs=0.001)
    assert measured(str(tmp_path / "elsewhere.parquet"))[0] == pytest.approx(expected)
    ids = read_token_ids(tmp_path / "elsewhere.parquet")
    assert [one.uid for one in ids] == [f"p{prompt}_{session}_0" for prompt in range(3) for session in range(4)]
