#!/usr/bin/env bash
# MiMO-VL-Instruct-2508: as published, evaluated only.
# Paper, Table 2: MathVista 77.0 · MathVision 42.9 · MathVerse 61.8 · EMMA 36.3.
# Status: not yet run at full scale by us.
MODEL=mimo_vl_7b
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
