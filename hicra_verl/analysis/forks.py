"""`hicra forks`: where a model is uncertain, against where it plans.

The paper compares two sets of tokens: planning tokens, and "high-entropy" tokens (its top 30%). Most planning tokens
are uncertain (40-80% of them), but few uncertain tokens are planning (under 10%). Entropies are a model's own: it reads
saved responses again, each after its prompt, and its next-token distribution at each response token is measured.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hicra_verl.errors import HicraError
from hicra_verl.files import check_outputs, make_folder, write_text
from hicra_verl.grams import load_grams
from hicra_verl.grams.functions import function_indices
from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.token_bytes import load_tokenizer
from hicra_verl.palette import function_rules
from hicra_verl.records import Record, read_records
from hicra_verl.spreadsheets import write_csv
from hicra_verl.trace_html import token_texts

NUMBERS, PAGE = "forks.csv", "forks.html"
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
Floats = npt.NDArray[np.float64]


class ForkError(HicraError):
    """What cannot be measured; the message says why."""


@dataclass(frozen=True)
class TokenTrace:
    """One response's tokens.

    Attributes:
        texts: (T,) what to show of each.
        entropy: (T,) nats, of the distribution each was drawn from.
        planning: (T,) bool.
        function: (T,) index into ``FUNCTIONS`` of the longest gram over it; -1 for none.
    """

    texts: list[str]
    entropy: Floats
    planning: npt.NDArray[np.bool_]
    function: npt.NDArray[np.int64]


def measure_forks(
    source: Path,
    model: str,
    output: Path,
    grams: str = "paper",
    *,
    limit: int = 200,
    temperature: float = 1.0,
    device: str = "cpu",
    progress: Callable[[Iterator[TokenTrace], int], Iterable[TokenTrace]] = lambda traces, total: traces,
) -> list[dict[str, Any]]:
    """Read saved responses with a model, and write both portions (``NUMBERS``) and a page (``PAGE``).

    Args:
        source: rows with ``response`` (or verl's ``output``) and, if there is one, ``problem`` (or ``input``).
        model: the folder or hub name of the model that reads.
        output: the folder to write to.
        grams: the gram set.
        limit: at most this many responses.
        temperature: the one they were sampled at.
        device: where the model runs.
        progress: wraps the responses as they are read, given their number.

    Returns:
        A row for each threshold and portion, with its 95% interval.

    Raises:
        HicraError: if a row, the set, the model or the output is of no use.
    """
    if not 0 < temperature < float("inf"):
        raise ForkError(f"--temperature {temperature}: expected a number above 0")
    make_folder(output)
    check_outputs(output / NUMBERS, output / PAGE, inputs=[source], folders=[Path(model)])
    gram_set = load_grams(grams)
    pairs = [_pair(record) for record in islice(read_records(source), limit)]
    tokenizer, table = load_tokenizer(model)
    matcher = GramMatcher(gram_set, table)
    read = token_entropies(load_model(model, device), tokenizer, pairs, temperature)
    found = (trace(ids, entropy, token_texts(ids, table, tokenizer), gram_set, matcher) for ids, entropy in read)
    traces = list(progress(found, len(pairs)))
    if not traces:
        raise ForkError("holds no response with text", file=source)
    rows = [
        {"threshold": fraction, "portion": name, "value": value, "low": low, "high": high}
        for fraction in THRESHOLDS
        for bounds in [interval(traces, fraction)]
        for name, value in portions(traces, fraction).items()
        for low, high in [bounds[name]]
    ]
    write_csv(output / NUMBERS, rows)
    write_text(output / PAGE, render(traces, f"Forks: {source.name}"))
    return rows


def _pair(record: Record) -> tuple[str, str]:
    """The prompt and the response of a row."""
    prompt = next((record.text(name) for name in ("problem", "input") if record.data.get(name) is not None), "")
    return prompt, record.text("response", "output")


def load_model(name: str, device: str) -> Any:
    """A causal language model, ready to read. Code that comes with its weights is never run.

    Raises:
        ForkError: if it cannot be loaded, or not there.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ForkError(f"--device {device}: not on this machine ({_first_line(error)})", remedy="try cpu") from error
    try:
        return AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False).to(device).eval()
    except Exception as error:  # a broken file of a model may raise anything: KeyError, SafetensorError, RuntimeError
        own_code = "trust_remote_code" in str(error)
        remedy = "hicra does not run code that comes with a model" if own_code else "give a folder with the whole model"
        raise ForkError(f"--model {name}: cannot be loaded ({_first_line(error)})", remedy=remedy) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def token_entropies(
    model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], temperature: float = 1.0
) -> Iterator[tuple[list[int], Floats]]:
    """Read responses with a model: the response's token ids, and the entropy of the distribution at each, in nats.

    Args:
        model: a causal language model, on any device.
        tokenizer: its tokenizer.
        pairs: (prompt, response) texts.
        temperature: the one the responses were sampled at.

    Raises:
        ForkError: if the model cannot read one, or is certain of nothing (NaN).
    """
    import torch

    for number, (prompt, response) in enumerate(pairs, 1):
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"] or [tokenizer.eos_token_id]
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        if not ids:
            continue
        if before == [None]:
            raise ForkError(f"response {number} has no prompt, and the tokenizer no token to begin with")
        try:
            with torch.no_grad():
                logits = model(torch.tensor([[*before, *ids]], device=model.device)).logits[0]
        except (IndexError, RuntimeError) as error:  # a token beyond its vocabulary, a text beyond its positions
            size = len(before) + len(ids)
            problem = f"the model cannot read response {number} ({size} tokens): {_first_line(error)}"
            raise ForkError(problem, remedy="is it the tokenizer's model, and the text within its context?") from error
        # The distribution that response token t was drawn from stands one position before it.
        log_p = torch.log_softmax(logits[len(before) - 1 : -1].float() / temperature, dim=-1)
        entropy = -(log_p.exp() * log_p).sum(dim=-1)
        if not bool(torch.isfinite(entropy).all()):
            raise ForkError(f"the model's probabilities at response {number} are NaN", remedy="are its weights whole?")
        yield ids, entropy.double().cpu().numpy()


def trace(ids: list[int], entropy: Floats, texts: list[str], grams: GramSet, matcher: GramMatcher) -> TokenTrace:
    """Put planning mask and functions beside the entropies."""
    matches = matcher.match(np.asarray([ids]))
    return TokenTrace(texts, entropy, matches.planning_mask[0], function_indices(matches, grams))


def portions(traces: Sequence[TokenTrace], fraction: float) -> dict[str, float]:
    """Both portions at one threshold, over all tokens of all traces.

    Args:
        traces: the responses.
        fraction: of all tokens, by entropy, that count as high-entropy.

    Returns:
        ``planning_high_entropy_fraction``, ``high_entropy_planning_fraction``, and the first for each function; NaN
        over none.
    """
    entropy = np.concatenate([one.entropy for one in traces])
    planning = np.concatenate([one.planning for one in traces])
    function = np.concatenate([one.function for one in traces])
    kept = int(fraction * len(entropy))
    high = entropy >= np.sort(entropy)[len(entropy) - kept] if kept else np.zeros(len(entropy), dtype=bool)

    def mean(values: npt.NDArray[np.bool_]) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return {
        "planning_high_entropy_fraction": mean(high[planning]),
        "high_entropy_planning_fraction": mean(planning[high]),
        **{f"{name}_high_entropy_fraction": mean(high[function == place]) for place, name in enumerate(FUNCTIONS)},
    }


def interval(
    traces: Sequence[TokenTrace], fraction: float, draws: int = 200, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals of ``portions``, resampling responses with replacement."""
    rng = np.random.default_rng(seed)
    found = [
        portions([traces[place] for place in rng.integers(0, len(traces), len(traces))], fraction) for _ in range(draws)
    ]
    bounds = {}
    for name in found[0]:
        values = np.array([one[name] for one in found])
        values = values[~np.isnan(values)]
        bounds[name] = tuple(np.quantile(values, [0.025, 0.975]).tolist()) if len(values) else (float("nan"),) * 2
    return bounds


def render(traces: Sequence[TokenTrace], title: str, limit: int = 30) -> str:
    """A page that colours each token by its entropy and underlines planning tokens."""
    top = float(np.quantile(np.concatenate([one.entropy for one in traces]), 0.98)) or 1.0
    blocks = []
    for number, one in enumerate(traces[:limit], 1):
        pieces = []
        for text, entropy, function in zip(one.texts, one.entropy.tolist(), one.function.tolist(), strict=True):
            kind, said = (f" class={FUNCTIONS[function]}", f", {FUNCTIONS[function]}") if function >= 0 else ("", "")
            look = f"background:rgba(224,120,20,{min(1.0, entropy / top):.2f})"
            pieces.append(f'<span{kind} style="{look}" title="{entropy:.2f} nats{said}">{html.escape(text)}</span>')
        blocks.append(f"<h2>response {number}</h2><div>{''.join(pieces)}</div>")
    style = (
        "body{font:15px/1.7 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}"
        "div{white-space:pre-wrap;overflow-wrap:anywhere}h2{font-size:.9rem;color:#64707c}"
        "span[class]{border-bottom:3px solid;font-weight:600}"
    ) + function_rules(".{name}{border-color:{strong}}")
    legend = (
        "the darker, the less certain; underlined: planning tokens "
        "(blue deduction, green branching, red backtracing, brown other)"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{style}</style><h1>{html.escape(title)}</h1><p>{legend}</p>"
        + "".join(blocks)
        + "</html>"
    )
