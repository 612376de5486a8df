# shellcheck shell=bash
ALGORITHM+=(
    algorithm.adv_estimator=hicra                      # paper
    +hicra=default                                     # ours: makes the next settings known
    algorithm.hicra.base=grpo                          # paper
    algorithm.hicra.alpha="${ALPHA:-0.2}"              # paper: 0.2 in all experiments
    algorithm.hicra.grams="${GRAMS:-paper}"            # paper: its published list
)
