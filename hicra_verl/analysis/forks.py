"""`hicra forks`: where a model is uncertain, against where it plans.

The paper compares two sets of tokens: planning tokens, and "high-entropy" tokens (its top 30%). Most planning tokens
are uncertain (40-80% of them), but few uncertain tokens are planning (under 10%). Entropies are a model's own: it reads
saved responses again, each after its prompt, and its next-token distribution at each response token is measured.

A dump's texts lack special tokens, the prompt's template and the mask of tool output; read from them, the portions are
others than in training. Where the run kept its token ids (``training/token_ids.py``), those are read.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

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
from hicra_verl.records import Record, open_parquet, read_records
from hicra_verl.spreadsheets import write_csv
from hicra_verl.trace_html import token_texts
from hicra_verl.training.token_ids import TokenIds, read_token_ids, token_ids_beside

NUMBERS, PAGE = "forks.csv", "forks.html"
TEXT_ONLY = (
    "read from text, which lacks special tokens, the prompt's template and the mask of tool output: the portions are "
    "not those of training. algorithm.hicra.token_ids=true keeps a run's token ids beside its dump"
)
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
Floats = npt.NDArray[np.float64]


class Reading(NamedTuple):
    """What the model reads: the ids of a prompt and of a response, and which of the latter are the policy's own."""

    prompt: list[int]
    response: list[int]
    own: list[bool]


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
) -> Portions:
    """Read saved responses with a model, and write both portions (``NUMBERS``) and a page (``PAGE``).

    Args:
        source: a step's token ids; or rows with ``response`` (or verl's ``output``) and, if there is one, ``problem``
            (or ``input``): of one of verl's dumps the token ids beside it are read, if the run kept them.
        model: the folder or hub name of the model that reads.
        output: the folder to write to.
        grams: the gram set.
        limit: at most this many responses.
        temperature: the one they were sampled at.
        device: where the model runs.
        progress: wraps the responses as they are read, given their number.

    Returns:
        A row for each threshold and portion, with its 95% interval, and the file of the token ids, if there is one.

    Raises:
        HicraError: if a row, the set, the model or the output is of no use.
    """
    if not 0 < temperature < float("inf"):
        raise ForkError(f"--temperature {temperature}: expected a number above 0")
    make_folder(output)
    kept = source if source.suffix == ".parquet" and _holds_ids(source) else token_ids_beside(source)
    check_outputs(output / NUMBERS, output / PAGE, inputs=[source, *filter(None, [kept])], folders=[Path(model)])
    gram_set = load_grams(grams)
    texts = [_pair(record) for record in islice(read_records(source), limit)] if kept is None else []
    tokenizer, table = load_tokenizer(model)
    if kept is None:
        readings = [reading for pair in texts if (reading := tokenised(tokenizer, *pair)) is not None]
    else:
        readings = [Reading(*one[1:]) for one in read_token_ids(kept, limit)]
    matcher = GramMatcher(gram_set, table)
    read = zip(readings, token_entropies(load_model(model, device), readings, temperature), strict=True)
    found = (
        trace(one, entropy, token_texts(one.response, table, tokenizer), gram_set, matcher) for one, entropy in read
    )
    traces = list(progress(found, len(readings)))
    if not traces:
        raise ForkError("holds no response with text", file=source)
    rows = [
        {"threshold": fraction, "portion": name, "value": value, "low": low, "high": high}
        for fraction in THRESHOLDS
        for bounds in [interval(traces, fraction)]
        for name, value in portions(traces, fraction).items()
        for low, high in [bounds[name]]
    ]
    write_csv(output / NUMBERS, [{**row, "read_from": "text" if kept is None else "token ids"} for row in rows])
    write_text(output / PAGE, render(traces, f"Forks: {source.name}"))
    return Portions(rows, kept)


class Portions(NamedTuple):
    """Both portions at each threshold, and the file of token ids they are from; None if they are from text."""

    rows: list[dict[str, Any]]
    token_ids: Path | None


def _holds_ids(path: Path) -> bool:
    with open_parquet(path) as file:
        return set(TokenIds._fields) <= set(file.schema_arrow.names)


def tokenised(tokenizer: Any, prompt: str, response: str) -> Reading | None:
    """A prompt and a response from their texts; None for a response without a token.

    Raises:
        ForkError: if there is no prompt, and the tokenizer has no token to begin with.
    """
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"] or [tokenizer.eos_token_id]
    ids = tokenizer(response, add_special_tokens=False)["input_ids"]
    if ids and before == [None]:
        raise ForkError("a response has no prompt, and the tokenizer no token to begin with")
    return Reading(list(before), list(ids), [True] * len(ids)) if ids else None


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


def token_entropies(model: Any, readings: Sequence[Reading], temperature: float = 1.0) -> Iterator[Floats]:
    """Read responses with a model: the entropy of the distribution that each of a response's tokens is from, in nats.

    Args:
        model: a causal language model, on any device.
        readings: what to read.
        temperature: the one the responses were sampled at.

    Raises:
        ForkError: if the model cannot read one, or is certain of nothing (NaN).
    """
    import torch

    for number, (before, ids, _) in enumerate(readings, 1):
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
        yield entropy.double().cpu().numpy()


def trace(reading: Reading, entropy: Floats, texts: list[str], grams: GramSet, matcher: GramMatcher) -> TokenTrace:
    """Put planning mask and functions beside the entropies, of the policy's own tokens."""
    own = np.array(reading.own, dtype=bool)
    matches = matcher.match(np.asarray([reading.response]), own[None])
    shown = [text for text, mine in zip(texts, reading.own, strict=True) if mine]
    return TokenTrace(shown, entropy[own], matches.planning_mask[0][own], function_indices(matches, grams)[own])


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
