"""`hicra forks`: where a model is uncertain, against where it plans.

The paper compares two sets of tokens: planning tokens, and "high-entropy" tokens (its top 30%). Most planning tokens
are uncertain (40-80% of them), but few uncertain tokens are planning (under 10%). Entropies are a model's own: it reads
saved responses again, each after its prompt, and its next-token distribution at each response token is measured.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hicra_verl.grams.functions import function_indices
from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import GramMatcher

THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
Floats = npt.NDArray[np.float64]


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


def token_entropies(
    model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], temperature: float = 1.0
) -> Iterator[tuple[list[int], Floats]]:
    """Read responses with a model: the response's token ids, and the entropy of the distribution at each, in nats.

    Args:
        model: a causal language model, on any device.
        tokenizer: its tokenizer.
        pairs: (prompt, response) texts.
        temperature: the one the responses were sampled at.
    """
    import torch

    for prompt, response in pairs:
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"] or [tokenizer.eos_token_id]
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        if not ids:
            continue
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *ids]], device=model.device)).logits[0]
            # The distribution that response token t was drawn from stands one position before it.
            log_p = torch.log_softmax(logits[len(before) - 1 : -1].float() / temperature, dim=-1)
            entropy = -(log_p.exp() * log_p).sum(dim=-1)
        yield ids, entropy.double().cpu().numpy()


def trace(ids: list[int], entropy: Floats, texts: list[str], grams: GramSet, matcher: GramMatcher) -> TokenTrace:
    """Put planning mask and functions beside the entropies."""
    matches = matcher.match(np.asarray([ids]))
    return TokenTrace(texts, entropy, matches.planning_mask[0], function_indices(matches, grams))


def portions(traces: Sequence[TokenTrace], share: float) -> dict[str, float]:
    """Both portions at one threshold, over all tokens of all traces.

    Args:
        traces: the responses.
        share: of all tokens, by entropy, that count as high-entropy.

    Returns:
        ``planning_high_entropy_share``, ``high_entropy_planning_share``, and the first for each function; NaN over
        none.
    """
    entropy = np.concatenate([one.entropy for one in traces])
    planning = np.concatenate([one.planning for one in traces])
    function = np.concatenate([one.function for one in traces])
    kept = int(share * len(entropy))
    high = entropy >= np.sort(entropy)[len(entropy) - kept] if kept else np.zeros(len(entropy), dtype=bool)

    def mean(values: npt.NDArray[np.bool_]) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return {
        "planning_high_entropy_share": mean(high[planning]),
        "high_entropy_planning_share": mean(planning[high]),
        **{f"{name}_high_entropy_share": mean(high[function == place]) for place, name in enumerate(FUNCTIONS)},
    }


def interval(
    traces: Sequence[TokenTrace], share: float, draws: int = 200, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals of ``portions``, resampling responses with replacement."""
    rng = np.random.default_rng(seed)
    found = [
        portions([traces[place] for place in rng.integers(0, len(traces), len(traces))], share) for _ in range(draws)
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
    shade: Callable[[float], str] = lambda value: f"rgba(224,120,20,{min(1.0, value / top):.2f})"  # noqa: E731
    blocks = []
    for number, one in enumerate(traces[:limit], 1):
        pieces = []
        for text, entropy, planning, function in zip(
            one.texts, one.entropy.tolist(), one.planning.tolist(), one.function.tolist(), strict=True
        ):
            kind = f" class={FUNCTIONS[function] if function >= 0 else 'other'}" if planning else ""
            tip = f"{entropy:.2f} nats" + (f", {FUNCTIONS[function]}" if function >= 0 else "")
            safe = html.escape(text)
            pieces.append(f'<span{kind} style="background:{shade(entropy)}" title="{tip}">{safe}</span>')
        blocks.append(f"<h2>response {number}</h2><div>{''.join(pieces)}</div>")
    style = (
        "body{font:15px/1.7 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}"
        "div{white-space:pre-wrap;overflow-wrap:anywhere}h2{font-size:.9rem;color:#64707c}"
        "span[class]{border-bottom:3px solid;font-weight:600}.deduction{border-color:#2a6f97}"
        ".branching{border-color:#588157}.backtracing{border-color:#c1121f}.other{border-color:#1d2730}"
    )
    legend = (
        "the darker, the less certain; underlined: planning tokens (blue deduction, green branching, red backtracing)"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{style}</style><h1>{html.escape(title)}</h1><p>{legend}</p>"
        + "".join(blocks)
        + "</html>"
    )
