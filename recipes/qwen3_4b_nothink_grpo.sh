#!/usr/bin/env bash
# Qwen3-4B adaptive (no-think): GRPO with clip-higher.
# Paper, Table 1: AIME24 63.1 · AIME25 58.8 · MATH500 95.6 · AMC23 76.8 · Minerva 45.2 · Olympiad 55.6.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_nothink
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
