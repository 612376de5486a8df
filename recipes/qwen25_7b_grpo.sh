#!/usr/bin/env bash
# Qwen2.5-7B-Base: GRPO with clip-higher.
# Paper, Table 1: AIME24 16.3 · AIME25 11.4 · MATH500 77.6 · AMC23 46.7 · Minerva 36.8 · Olympiad 41.9.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
