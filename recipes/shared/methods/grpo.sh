# Paper: the baseline is GRPO with clip-higher.
# shellcheck shell=bash
ALGORITHM+=(algorithm.adv_estimator=grpo)
