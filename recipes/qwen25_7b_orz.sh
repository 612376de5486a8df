#!/usr/bin/env bash
# Qwen2.5-7B-Base: Open-Reasoner-Zero.
# Paper, Table 1: AIME24 18.8 · AIME25 14.8 · MATH500 80.2 · AMC23 52.4 · Minerva 39.7 · Olympiad 45.9.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=orz
# Ours: the published checkpoint, evaluated with our prompt template. It was trained with one of its own.
MODEL_PATH=${MODEL_PATH:-Open-Reasoner-Zero/Open-Reasoner-Zero-7B}
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
