"""Keys and passwords taken out of what is shown: recorded commands, settings, URLs, what a server says."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

# How the name of a secret ends. "key" alone is one, prompt_key is none; hf_token is one, eos_token and max_tokens none.
_HOLDERS = (
    "api|access|secret|private|auth|account|client|service|signing|encryption|ssh|master|session|hub|judge|wandb|openai"
    "|anthropic|azure|aws|hf"
)
_NO_SECRET_TOKEN = (
    "eos|bos|pad|unk|sep|cls|mask|image|video|audio|special|stop|start|end|first|last|next|new|max|min|num|per|each|prompt"
    "|response"
)
_NAME = (
    rf"(?:(?:{_HOLDERS})[_-]?keys?|(?:api|access|auth|hf|hub)[_-]?tokens"
    r"|(?<![\w-])(?:--?)?key|(?-i:(?<=[A-Z0-9]_)KEY)"
    + "|"
    + "".join(rf"(?<!{word}[_-])" for word in _NO_SECRET_TOKEN.split("|"))
    + r"(?<![a-z0-9])token|(?-i:(?<=[a-z])Token)"
    r"|(?:secret|passwd|password|passphrase|credential|signature)s?|authorization|(?:basic|http|proxy)[_-]?auth"
    r"|(?<![a-z])(?:pwd|bearer|pat|sig))(?:[_-]?\d+)?"
)
# What may begin anywhere is bounded: a hostile text must not take long.
_PATH = r"[+~-]*[\w.@/-]*"
_QUOTED = r"'[^'\n]*'|\"(?:\\.|[^\"\\\n])*\"|\[[^]\n]{0,999}\]|\\."
_WORD = rf"(?:{_QUOTED}|[^\s'\"\\;)}}])+"  # as a shell takes it
_ENTRY = rf"(?:{_QUOTED}|[^\s'\"\\;)}},])+"  # as a mapping holds it
_SCHEME = r"(?:(?:basic|bearer|digest|token)[ \t]+)?"
_VARIABLE = r"(?-i:(?:[A-Z0-9]+_)+(?:KEYS?|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT|PWD))"


def _rule(pattern: str, replacement: str) -> tuple[re.Pattern[str], str]:
    return re.compile(pattern, re.IGNORECASE), replacement


_RULES = (
    # '--name=two words', 'name=two words': a quoted word, but not the line of `bash -c`
    _rule(rf"(?<!-c )'({_PATH}{_NAME}=)(?:[^'\n]|'\"'\"')*'", rf"'\1{HIDDEN}'"),
    _rule(rf"(?<!-c )\"({_PATH}{_NAME}=)(?:\\.|[^\"\\\n])*\"", rf'"\1{HIDDEN}"'),
    # name=value; name: value, {"name": "value"}
    _rule(rf"({_NAME}(?:\\?[\"'])?[ \t]*=(?:[ \t]+(?!--))?){_SCHEME}{_WORD}", rf"\1{HIDDEN}"),
    _rule(rf"({_NAME}(?:\\?[\"'])?[ \t]*:(?:[ \t]+(?!--))?){_SCHEME}{_ENTRY}", rf"\1{HIDDEN}"),
    # --name value, '--name' 'value'; NAME value of an environment variable
    _rule(rf"((?<![^\s'\"])--?(?:[\w.-]*{_NAME}|key)[\"']?[ \t]+)(?!--){_WORD}", rf"\1{HIDDEN}"),
    _rule(rf"((?<![\w-]){_VARIABLE}[\"']?[ \t]+)(?!-){_WORD}", rf"\1{HIDDEN}"),
    _rule(r"(\bbearer\s+)[\w.~+/=-]+", rf"\1{HIDDEN}"),
    # https://user:password@host, where the password may hold / and @; user:password@host, its scheme forgotten
    _rule(r"(?<=://)(?:[^\s'\"/@:]{0,999}:[^\s'\"]{0,999}|[^\s'\"/@]{1,999})@", f"{HIDDEN}@"),
    _rule(
        r"(?<![^\s'\"=])[\w.%+-]+:(?!//)[^\s'\"]{1,999}@(?!sha256:)(?=[\w.-]+(?::\d+)?(?:[/?\s'\"]|$))", f"{HIDDEN}@"
    ),
    # keys known by their looks
    _rule(
        r"\b(?-i:(?:sk-|[sr]k_(?:live|test)_|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|nvapi-|AIza)[\w-]{12,}"
        r"|(?:hf_|gsk_|npm_|AKIA|ASIA)[A-Za-z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+)",
        HIDDEN,
    ),
)
_OPTION = re.compile(rf"--?(?:[\w.-]*{_NAME}|key)|{_VARIABLE}", re.IGNORECASE)
_SETTING = re.compile(rf"{_PATH}{_NAME}[=:]", re.IGNORECASE)
_OTHER_OPTION = re.compile(r"--[a-z][\w.-]*(?:=.*)?", re.IGNORECASE | re.DOTALL)


def redact(text: str) -> str:
    """The text with the values of keys, tokens and passwords replaced by ``HIDDEN``."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_words(words: list[str]) -> list[str]:
    """The same for a command, word by word: a value is the rest of its word, or the next one, whatever it holds."""
    shown = []
    for previous, word in zip(["", *words], words, strict=False):
        setting = None if re.fullmatch(r"-\w*c", previous) else _SETTING.match(word)
        if _OPTION.fullmatch(previous) and not _OTHER_OPTION.fullmatch(word):
            shown.append(HIDDEN)
        else:
            shown.append(setting[0] + HIDDEN if setting else redact(word))
    return shown
