"""Images that a dump holds: those written into it, as data, are shown; the page loads nothing from elsewhere."""

from __future__ import annotations

import re
from typing import Any

IMAGE_CHARACTERS = 4_000_000
IMAGES = 8  # of a response

_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")


def images_of(fields: dict[str, Any]) -> list[str]:
    """The images among a dump's further fields: each a field, or in a list that is one."""
    values = [one for value in fields.values() for one in (value if isinstance(value, list) else [value])]
    return [one for one in values if _is_image(one)][:IMAGES]


def holds_image(value: Any) -> bool:
    """Whether a field is one of ``images_of``, so that it need not be shown as text, too."""
    return any(_is_image(one) for one in (value if isinstance(value, list) else [value]))


def _is_image(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= IMAGE_CHARACTERS and _IMAGE.fullmatch(value) is not None
