#!/usr/bin/env bash
# Qwen2.5-7B-Base: SimpleRL.
# Paper, Table 1: AIME24 16.7 · AIME25 3.3 · MATH500 78.2 · AMC23 42.8 · Minerva 34.9 · Olympiad 38.2.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=simplerl
# Ours: the checkpoint of SimpleRL-Zoo that starts from this row's base model, evaluated with our prompt template. It was
# trained with one of its own. The paper names no checkpoint, and SimpleRL's first ones start from Qwen2.5-Math-7B.
MODEL_PATH=${MODEL_PATH:-hkust-nlp/Qwen-2.5-7B-SimpleRL-Zoo}
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
