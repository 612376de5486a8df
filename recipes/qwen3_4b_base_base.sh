#!/usr/bin/env bash
# Qwen3-4B-Base: as published, evaluated only.
# Paper, Table 1: AIME24 9.4 · AIME25 5.3 · MATH500 63.8 · AMC23 38.9 · Minerva 28.3 · Olympiad 30.7.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_base
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
