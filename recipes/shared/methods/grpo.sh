# Paper: the baseline is GRPO with clip-higher. It logs what a HICRA run logs, of the same phrases, and shapes nothing.
# shellcheck shell=bash
ALGORITHM+=(
    algorithm.adv_estimator=grpo                       # paper
    +hicra=default                                     # ours: makes the next settings known
    algorithm.hicra.measure_only=true                  # ours: so that its figures lie beside HICRA's
    algorithm.hicra.grams="${GRAMS:-paper}"            # paper: its published list
)
