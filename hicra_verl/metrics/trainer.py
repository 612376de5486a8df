"""What is measured elsewhere, and shown beside the rest: by shaping itself, by verl."""

from __future__ import annotations

from hicra_verl.metrics.table import Metric

REWARD = "Reward and accuracy"
LENGTH = "Response length (tokens)"

# fmt: off
METRICS = [
    Metric("hicra/advantage_{CLASS}_{WHEN}/mean", "mean advantage", "advantage",
           "mean advantage over planning or execution tokens, `base` before and `shaped` after", "ours"),
    Metric("hicra/tokens_changed", "tokens changed", "tokens", "tokens whose advantage was changed", "ours"),
    Metric("hicra/selected_fraction", "selected tokens", "fraction",
           "tokens selected, weights summed, / tokens; of selectors other than `grams`", "ours"),
    Metric("timing_s/hicra", "time of HICRA", "s", "seconds that the trainer waited for shaping and measuring", "ours"),
    Metric("hicra/step_time_fraction", "time of HICRA", "fraction", "the same / seconds of the whole step", "ours"),
    Metric("critic/score/mean", "training reward", "", "mean score of the step's responses", "verl", chart=REWARD),
    Metric("val-core/{SOURCE}/acc/{HOW}", "held-out accuracy", "fraction", "accuracy on held-out problems", "verl",
           chart=REWARD),
    Metric("response_length/mean", "mean response length", "tokens", "mean length of responses", "verl", chart=LENGTH),
    Metric("response_length/max", "longest response", "tokens", "longest response", "verl", chart=LENGTH),
    Metric("actor/entropy", "token entropy", "nats", "mean entropy of the next-token distribution", "verl"),
]
# fmt: on
