#!/usr/bin/env bash
# Qwen3-4B-Base: GRPO with clip-higher.
# Paper, Table 1: AIME24 24.9 · AIME25 23.8 · MATH500 83.0 · AMC23 51.2 · Minerva 38.9 · Olympiad 45.8.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_base
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
