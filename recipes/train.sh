#!/usr/bin/env bash
# Train any model with any method, also with those that are none of the paper's rows:
#
#   METHOD=gtpo MODEL=qwen25_7b bash recipes/train.sh
#
# MODEL is a file in shared/models; METHOD one in shared/methods, or the name of a selector or a shaper (`hicra recipes
# method` lists them). Every further word goes to verl: algorithm.hicra.shaping_args='{...}' gives a shaper its arguments.
# `bash recipes/evaluate.sh qwen25_7b gtpo` evaluates it, as a row of one's own.
# Status: not yet run at full scale by us.
MODEL=${MODEL:?names a file in shared/models, such as qwen25_7b}
METHOD=${METHOD:?names a method, such as gtpo}
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
