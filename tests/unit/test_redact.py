"""What is hidden in recorded commands, and what is not."""

from __future__ import annotations

import pytest

from hicra_verl.redact import HIDDEN, redact


@pytest.mark.parametrize(
    "text",
    [
        "--api-key SECRET",
        "--api-key=SECRET",
        "--api_key 'SECRET and more'",
        "API_KEY=SECRET",
        "WANDB_API_KEY=SECRET",
        "+trainer.hf_token=SECRET",
        "password: SECRET",
        '{"access_key": "SECRET"}',
        "https://me:SECRET@host:8000/v1",
        "Authorization: Bearer SECRET",
        "aws_secret_access_key=SECRET",
        "sk-SECRETSECRETSECRET",
        "hf_SECRETSECRETSECRET",
    ],
)
def test_keys_are_hidden(text: str) -> None:
    shown = redact(f"python -m x {text} trainer.n=1")
    assert "SECRET" not in shown
    assert HIDDEN in shown
    assert shown.endswith("trainer.n=1")


@pytest.mark.parametrize(
    "text",
    [
        "data.max_prompt_tokens=512 data.prompt_key=prompt data.reward_fn_key=data_source",
        "actor.ppo_max_token_len_per_gpu=16384 --tokenizer qwen3 http://127.0.0.1:8000/v1 user@host:/path",
        "algorithm.hicra.grams=paper trainer.project_name=secretary",
    ],
)
def test_settings_stay(text: str) -> None:
    assert redact(text) == text
