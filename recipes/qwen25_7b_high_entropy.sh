#!/usr/bin/env bash
# Qwen2.5-7B-Base: the bonus on high-entropy tokens instead of planning tokens.
# The authors in review (second-hand): AIME24 15.8 · AIME25 11.4.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=high_entropy
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
