#!/usr/bin/env bash
# Llama-3.1-8B-Instruct: as published, evaluated only.
# Paper, Table 1: AIME24 4.2 · AIME25 0.6 · MATH500 50.2 · AMC23 17.1 · Minerva 20.9 · Olympiad 13.7.
# Status: not yet run at full scale by us.
MODEL=llama31_8b_instruct
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
