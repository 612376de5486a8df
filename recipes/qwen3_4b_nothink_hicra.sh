#!/usr/bin/env bash
# Qwen3-4B adaptive (no-think): HICRA.
# Paper, Table 1: AIME24 65.9 · AIME25 62.1 · MATH500 95.8 · AMC23 82.5 · Minerva 46.3 · Olympiad 59.7.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_nothink
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
