#!/usr/bin/env bash
# Qwen3-4B-Instruct-2507: GRPO with clip-higher.
# Paper, Table 1: AIME24 68.5 · AIME25 60.0 · MATH500 96.2 · AMC23 88.5 · Minerva 50.0 · Olympiad 72.7.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_instruct
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
