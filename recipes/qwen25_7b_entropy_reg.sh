#!/usr/bin/env bash
# Qwen2.5-7B-Base: GRPO with entropy regularisation.
# Paper, Table 1: AIME24 16.0 · AIME25 9.3 · MATH500 57.4 · AMC23 50.3 · Minerva 33.1 · Olympiad 40.6.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=entropy_reg
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
