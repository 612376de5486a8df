"""Pages of one file that open offline: a template of the package, filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any


def script_data(value: Any) -> str:
    """A value for a page's script; no tag inside a text may end the script, or begin one."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def fill(package: str, name: str, parts: Mapping[str, str]) -> str:
    """A package's template with its places (``@@NAME@@``) filled in.

    Args:
        package: the template's.
        name: its file.
        parts: by place, as markup.
    """
    template = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    # At once: no part is looked through for the places of the others.
    page = re.sub(r"@@(\w+)@@", lambda place: parts[place[1]], template)
    return page.encode("utf-8", "replace").decode()
