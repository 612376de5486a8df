#!/usr/bin/env bash
# Qwen2.5-7B-Base: as published, evaluated only.
# Paper, Table 1: AIME24 3.5 · AIME25 1.7 · MATH500 55.6 · AMC23 46.9 · Minerva 30.9 · Olympiad 25.9.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
