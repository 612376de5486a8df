"""The words and the environment a trainer is started with, so that they hold on every node of a cluster.

On a Ray cluster that was started elsewhere (``RAY_ADDRESS``), the processes of a run have the environment and the
working folder of that node's ``ray start``. verl forwards a fixed list of environment variables
(``verl/trainer/constants_ppo.py``) and merges ``ray_kwargs.ray_init.runtime_env.env_vars`` into it; what else a run
needs goes there, and relative paths become absolute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENV_VARS = "ray_kwargs.ray_init.runtime_env.env_vars"
# What a person sets for trackers and hubs. Ray writes the values to its logs, so none that may be a secret goes there.
FORWARDED = re.compile(r"(WANDB|HF|TRANSFORMERS|TENSORBOARD|MLFLOW|SWANLAB|TRACKIO)_\w+|VERL_FILE_LOGGER_(PATH|ROOT)")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|HEADERS", re.IGNORECASE)
# Settings that verl or this package reads as a path in a process of the run.
WRITTEN = ("trainer.default_local_dir", "trainer.rollout_data_dir", "trainer.validation_data_dir")
DATA = ("data.train_files", "data.val_files")
# Names (of the hub, of a gram set) where no such file is there.
FILE_OR_NAME = (
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.model.tokenizer_path",
    "algorithm.hicra.grams",
    "reward.custom_reward_function.path",
    "data.custom_cls.path",
)


def hydra_string(text: str) -> str:
    """``text`` as a quoted value of a Hydra override: no character of it means anything to Hydra or OmegaConf."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"


def settings_of(command: list[str]) -> dict[str, str]:
    """The ``key=value`` words of a verl command; the last one counts, as for Hydra."""
    words = (word.split("=", 1) for word in command if re.match(r"[+~]{0,2}[\w.@/]+=", word))
    return {key.lstrip("+~"): value for key, value in words}


def setting_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``key=value`` words: a text stands as it is, true, false and null as Hydra writes them."""
    return [f"{key}={json.dumps(it) if isinstance(it, bool | None) else it}" for key, it in settings.items()]


def environment_words(given: Mapping[str, str], environment: Mapping[str, str], names: set[str]) -> list[str]:
    """Overrides that carry variables to the actors of a cluster that was started elsewhere.

    Args:
        given: the settings of the command, whose own ``env_vars`` win.
        environment: the trainer's.
        names: the variables that this package sets.
    """
    wanted = names | {name for name in environment if FORWARDED.fullmatch(name)}
    return [
        f"+{ENV_VARS}.{name}={hydra_string(environment[name])}"
        for name in sorted(wanted)
        if not SECRET.search(name) and f"{ENV_VARS}.{name}" not in given and name not in given.get(ENV_VARS, "")
    ]


def kept_back(environment: Mapping[str, str]) -> list[str]:
    """The variables that would be forwarded, were they not secrets."""
    return sorted(name for name in environment if FORWARDED.fullmatch(name) and SECRET.search(name))


def value_of(word: str) -> object:
    """The value that Hydra reads in a ``key=value`` word; None where Hydra cannot parse it, and will say so itself."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word).value()
    except HydraException:
        return None


def absolute_words(command: list[str], folder: Path) -> list[str]:
    """A verl command, with the relative paths of the settings above made absolute, from ``folder`` on."""
    return [_absolute_word(word, folder) for word in command]


def _absolute_word(word: str, folder: Path) -> str:
    setting, equals, _ = word.partition("=")
    key = setting.lstrip("+~")
    if not equals or key not in (*WRITTEN, *DATA, *FILE_OR_NAME):
        return word
    value = value_of(word)
    texts = value if isinstance(value, list) else [value]
    paths = [_absolute(text, folder, must_exist=key in FILE_OR_NAME) for text in texts]
    if paths == texts:
        return word
    quoted = [hydra_string(str(path)) for path in paths]
    return f"{setting}=" + (f"[{','.join(quoted)}]" if isinstance(value, list) else quoted[0])


def _absolute(text: object, folder: Path, must_exist: bool) -> object:
    if not isinstance(text, str) or not text or "://" in text or "${" in text or text[0] in "/~":
        return text
    path = folder / text
    return str(path) if path.exists() or not must_exist else text
