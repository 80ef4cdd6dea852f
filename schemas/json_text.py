"""JSON as the world writes it: half a surrogate pair, which JSON allows and UTF-8 does not, is read as U+FFFD."""

from __future__ import annotations

import re
from typing import Any

import orjson

_PAIR = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\(?:(?P<pair>" + _PAIR + rb")|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
"""One escape after the other, so that an escaped backslash is not taken for the beginning of one."""


def read_json(raw: bytes) -> Any:
    """The value that a text in JSON has (RFC 8259), with U+FFFD for half a surrogate pair (section 8.2).

    To refuse such a text would be an evasion: one odd character in a file's name, and no rule is asked.

    Raises:
        orjson.JSONDecodeError: the text is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "surrogate" not in str(error):
            raise
        return orjson.loads(_ESCAPE.sub(_whole, raw))


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]
