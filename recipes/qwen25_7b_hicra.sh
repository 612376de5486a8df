#!/usr/bin/env bash
# Qwen2.5-7B-Base: HICRA.
# Paper, Table 1: AIME24 18.8 · AIME25 14.8 · MATH500 80.2 · AMC23 55.1 · Minerva 38.6 · Olympiad 45.9.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
