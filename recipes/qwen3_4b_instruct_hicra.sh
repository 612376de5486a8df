#!/usr/bin/env bash
# Qwen3-4B-Instruct-2507: HICRA.
# Paper, Table 1: AIME24 73.1 · AIME25 65.1 · MATH500 97.2 · AMC23 90.2 · Minerva 50.7 · Olympiad 72.0.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_instruct
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
