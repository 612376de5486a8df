#!/usr/bin/env bash
# Qwen3-4B-Base: HICRA.
# Paper, Table 1: AIME24 31.0 · AIME25 27.6 · MATH500 89.0 · AMC23 54.0 · Minerva 42.5 · Olympiad 48.1.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_base
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
