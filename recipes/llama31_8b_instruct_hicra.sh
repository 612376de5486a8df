#!/usr/bin/env bash
# Llama-3.1-8B-Instruct: HICRA.
# Paper, Table 1: AIME24 8.3 · AIME25 0.8 · MATH500 54.8 · AMC23 27.1 · Minerva 25.8 · Olympiad 21.2.
# Status: not yet run at full scale by us.
MODEL=llama31_8b_instruct
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
