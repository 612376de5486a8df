"""The versions of verl that this package is tested with. Supporting another one begins here."""

from __future__ import annotations

TESTED = ("0.9.1",)
"""Oldest first."""

FLASH_ATTENTION_EXTRA = {"0.9.1": "flash-attn-cu130torch211"}
"""verl's extra that brings flash-attn, which differs from version to version."""


def supported(installed: str | None) -> str:
    """The version to measure an installation by: the installed one if it is tested, otherwise the newest tested one."""
    return installed if installed in TESTED else TESTED[-1]


def in_words() -> str:
    """``verl 0.9.1 or 0.9.2``."""
    return "verl " + " or ".join(TESTED)
