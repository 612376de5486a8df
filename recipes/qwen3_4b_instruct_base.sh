#!/usr/bin/env bash
# Qwen3-4B-Instruct-2507: as published, evaluated only.
# Paper, Table 1: AIME24 63.4 · AIME25 47.7 · MATH500 94.6 · AMC23 86.7 · Minerva 45.2 · Olympiad 72.4.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_instruct
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
