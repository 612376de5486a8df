#!/usr/bin/env bash
# Qwen3-4B adaptive (no-think): as published, evaluated only.
# Paper, Table 1: AIME24 21.3 · AIME25 18.1 · MATH500 84.4 · AMC23 60.5 · Minerva 40.4 · Olympiad 49.9.
# Status: not yet run at full scale by us.
MODEL=qwen3_4b_nothink
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
