"""The languages of the screens: English sentences are the keys, a catalogue holds what they are in the others.

The language of a request is a context variable, since words are chosen in many small places; `in_language` sets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

ENGLISH: Final = "en"
CHINESE: Final = "zh-Hant-TW"
LANGUAGES: Final = {ENGLISH: "English", CHINESE: "正體中文"}
COOKIE: Final = "jsoc-language"
FOLDER: Final = Path(__file__).parent
_IN_SCRIPT: Final = re.compile(r'\bT\("((?:[^"\\]|\\.)*)"')

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def current() -> str:
    """The language words are chosen in now."""
    return _current.get()


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Choose words in this language until the block ends."""
    token = _current.set(language if language in LANGUAGES else ENGLISH)
    try:
        yield
    finally:
        _current.reset(token)


def say(text: str, **values: object) -> str:
    """The sentence in the current language, its places filled.

    >>> say("{n} new", n=3)
    '3 new'
    >>> with in_language("zh-Hant-TW"):
    ...     say("{n} new", n=3)
    '3 則新警報'
    """
    chosen = text if current() == ENGLISH else catalogue(current()).get(text, text)
    return chosen.format(**values) if values else chosen


@cache
def catalogue(language: str) -> dict[str, str]:
    """English sentence -> the same in the language."""
    return dict(yaml.safe_load((FOLDER / "words" / f"{language}.yml").read_text(encoding="utf-8")))


@cache
def script_sentences() -> tuple[str, ...]:
    """The sentences our scripts say, so that a page can hand them over in its language."""
    found = {
        sentence
        for path in sorted((FOLDER / "static").glob("*.js"))
        for sentence in _IN_SCRIPT.findall(path.read_text(encoding="utf-8"))
    }
    return tuple(sorted(found))


def script_words() -> dict[str, str]:
    """English sentence -> the same in the current language, for scripts; empty in English."""
    return {} if current() == ENGLISH else {sentence: say(sentence) for sentence in script_sentences()}


def preferred(cookie: str, accepted: str) -> str:
    """The language a browser asks for: what was chosen here, else the first it accepts that we have.

    >>> preferred("", "zh-TW,zh;q=0.9,en;q=0.8"), preferred("en", "zh-TW"), preferred("", "de")
    ('zh-Hant-TW', 'en', 'en')
    """
    if cookie in LANGUAGES:
        return cookie
    for item in accepted.split(",")[:10]:
        name = item.split(";")[0].strip().lower()
        if name.startswith("zh"):
            return CHINESE
        if name.startswith("en"):
            return ENGLISH
    return ENGLISH


class ChosenLanguage:
    """Sets the language for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        cookie = cookie_parser(headers.get(b"cookie", "")).get(COOKIE, "")
        with in_language(preferred(cookie, headers.get(b"accept-language", ""))):
            await self._app(scope, receive, send)
