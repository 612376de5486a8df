#!/usr/bin/env bash
# Llama-3.1-8B-Instruct: GRPO with clip-higher.
# Paper, Table 1: AIME24 8.9 · AIME25 0.5 · MATH500 53.0 · AMC23 25.0 · Minerva 27.2 · Olympiad 20.3.
# Status: not yet run at full scale by us.
MODEL=llama31_8b_instruct
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
