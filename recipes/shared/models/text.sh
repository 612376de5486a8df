# What the text models share.
# shellcheck shell=bash disable=SC2034
TEMPLATE=${TEMPLATE:-qwen}                             # prompt template, see `hicra data --help`; ours
TRAIN_FILE=${TRAIN_FILE:-"['${DATA_DIR}/${TEMPLATE}/dapo_math_17k.parquet','${DATA_DIR}/${TEMPLATE}/deepscaler.parquet']"}   # paper: DAPO + DeepScaleR
TEST_FILE=${TEST_FILE:-${DATA_DIR}/${TEMPLATE}/aime24.parquet}
VAL_SAMPLES=32                                         # paper: 32 samples for AIME
BENCHMARKS=(aime24 aime25 math500 amc23 minerva olympiad)
EVAL_SETTINGS+=(--template "${TEMPLATE}")
