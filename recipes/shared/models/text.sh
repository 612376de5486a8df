# What the text models share.
# shellcheck shell=bash disable=SC2034
TEMPLATE=${TEMPLATE:-qwen}                             # prompt template, see `hicra data --help`; ours
TRAIN_FILE=${TRAIN_FILE:-"['${DATA_DIR}/${TEMPLATE}/dapo_math_17k.parquet','${DATA_DIR}/${TEMPLATE}/deepscaler.parquet']"}   # paper: DAPO + DeepScaleR
# Validation is on AIME24, which is in the table too (the paper plots it over training): whatever is chosen by it, such as
# the best checkpoint or an early stop, is chosen on a benchmark, and AIME24 is then no held-out number. AIME25 is one.
TEST_FILE=${TEST_FILE:-${DATA_DIR}/${TEMPLATE}/aime24.parquet}   # ours
VAL_SAMPLES=${VAL_SAMPLES:-32}                         # paper: 32 samples for AIME
BENCHMARKS=(aime24 aime25 math500 amc23 minerva olympiad)
EVAL_SETTINGS+=(--template "${TEMPLATE}")
