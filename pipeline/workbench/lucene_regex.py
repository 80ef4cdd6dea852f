r"""Regular expressions as Lucene has them: whole values, in lower case, with fewer signs.

'(?i)^C:\\tmp\\[a-z]+\.exe$'  -->  'c:\\tmp\\[a-z]+\.exe'
'evil\d{3}'                   -->  '.*evil[0-9]{3}.*'
"""

from __future__ import annotations

import re
from typing import Final

from sigma.exceptions import SigmaTransformationError

_OWN_SIGNS: Final = frozenset('#@&<>~"')
"""Operators of Lucene that mean themselves elsewhere."""
_CLASSES: Final = {"d": "0-9", "w": "a-z0-9_", "s": " \t\r\n"}
_TOKEN: Final = re.compile(r"\\.|\(\?:|\(\?|[*+?}][?+]|\[\^?\]?|.", re.DOTALL)


def lucene_regex(pattern: str) -> str:
    """An expression of Sigma's as one for a keyword field whose values are in lower case.

    Raises:
        SigmaTransformationError: Lucene cannot say it.
    """
    text = re.sub(r"^\(\?[ims]+\)", "", pattern)
    ends = re.search(r"(?<!\\)(?:\\\\)*\$$", text)
    body = text.removeprefix("^")[: -1 if ends else None]
    begin, end = "" if text.startswith("^") else ".*", "" if ends else ".*"
    if (begin and end) or not _has_alternatives(body):
        inner = _translated(body, pattern)
        return f"{begin}({inner}){end}" if _has_alternatives(body) else f"{begin}{inner}{end}"
    raise SigmaTransformationError(f"an anchor belongs to one of several alternatives: {pattern}; put them in brackets")


def _has_alternatives(text: str) -> bool:
    depth = 0
    for sign in _TOKEN.findall(text):
        depth += sign.startswith("(") - (sign == ")")
        if sign == "|" and depth == 0:
            return True
    return False


def _translated(text: str, pattern: str) -> str:
    written: list[str] = []
    in_class = False
    for sign in _TOKEN.findall(text):
        is_repeat = len(sign) == 2 and sign[0] in "*+?}"
        if (sign in ("(?", "^", "$") or (is_repeat and sign[1] == "+")) and not in_class:
            raise SigmaTransformationError(f"Lucene has no `{sign}` in regular expressions: {pattern}")
        if sign.startswith("\\"):
            written.append(_escaped(sign, pattern, in_class=in_class))
        elif sign == "(?:":
            written.append("(")
        elif sign in _OWN_SIGNS:
            written.append("\\" + sign)
        elif is_repeat:
            written.append(sign[0])  # lazy: it finds another match, but not another value
        else:
            written.append(sign.lower())
        in_class = sign.startswith("[") or (in_class and sign != "]")
    return "".join(written)


def _escaped(sign: str, pattern: str, *, in_class: bool) -> str:
    letter = sign[1]
    if letter.lower() in _CLASSES:
        if letter.isupper() and in_class:
            raise SigmaTransformationError(f"Lucene has no `{sign}` in a class: {pattern}")
        inner = _CLASSES[letter.lower()]
        return inner if in_class else f"[{'^' if letter.isupper() else ''}{inner}]"
    if letter.isalnum():
        raise SigmaTransformationError(f"Lucene has no `{sign}` in regular expressions: {pattern}")
    return sign
