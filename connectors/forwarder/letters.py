"""Reads the local dead letters again: to look at them, and to send those that a mended mapping understands."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from connectors.forwarder.dead_letter_file import FILE_NAME, KEPT_FILES
from connectors.forwarder.inputs import compile_mapping, load_pseudonyms
from connectors.forwarder.normalise import Normaliser, Ready
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import Dropped
from connectors.sources.line import Line

REPLAYED_NAME: Final = "dead-letters.replayed"


class Letter(NamedTuple):
    """One line that could not become an event."""

    id: str
    time: str
    input: str
    reason: str
    detail: str
    raw: bytes
    cut: bool
    """Whether `raw` is only the line's beginning."""
    stream: str
    offset: int


class Attempt(NamedTuple):
    """What became of one letter."""

    letter: Letter
    sent: bool
    why: str
    """Why it was not sent; empty if it was."""


def read_letters(folder: Path) -> Iterator[Letter]:
    """The letters that were not replayed, oldest first; a line of the file that is damaged is left out."""
    done = replayed(folder)
    for number in range(KEPT_FILES, -1, -1):
        path = folder / (FILE_NAME if number == 0 else f"{FILE_NAME}.{number}")
        if not path.exists():
            continue
        with path.open("rb") as file:
            for row in file:
                letter = _letter(row)
                if letter is not None and letter.id not in done:
                    yield letter


def replayed(folder: Path) -> set[str]:
    """Ids of the letters that were sent after all."""
    path = folder / REPLAYED_NAME
    return set(path.read_text(encoding="ascii").split()) if path.exists() else set()


def replay(
    settings: ForwarderSettings, letters: list[Letter], send: Callable[[bytes], None], *, remember: bool = True
) -> Iterator[Attempt]:
    """Map letters again and send those that become events; they keep the ids they would have had.

    Args:
        settings: the configuration, with the mended mapping.
        letters: which.
        send: sends one event and returns when it is acknowledged.
        remember: note which were sent, so that they are not listed again.

    Raises:
        ConfigError: a mapping or a key is not as it must be.
    """
    pseudonyms = load_pseudonyms(settings)
    normalisers = {
        one.name: Normaliser(
            settings.member, one.name, compile_mapping(settings, one, pseudonyms)[1], pseudonyms.event_id_key
        )
        for one in settings.inputs
    }
    for letter in letters:
        attempt = _attempt(letter, normalisers.get(letter.input), send)
        if attempt.sent and remember:
            with (settings.state_dir / REPLAYED_NAME).open("a", encoding="ascii") as file:
                file.write(letter.id + "\n")
        yield attempt


def _attempt(letter: Letter, normaliser: Normaliser | None, send: Callable[[bytes], None]) -> Attempt:
    if normaliser is None:
        return Attempt(letter, False, f"no input is named {letter.input} any more")
    if letter.cut:
        return Attempt(letter, False, "only its beginning was kept")
    outcome = normaliser.normalise(Line(letter.raw, letter.stream, letter.offset, letter.offset + len(letter.raw)))
    if isinstance(outcome, Ready):
        send(outcome.payload)
        return Attempt(letter, True, "")
    if isinstance(outcome, Dropped):
        return Attempt(letter, False, f"the mapping drops it: {outcome.reason}")
    return Attempt(letter, False, f"{outcome.reason}: {outcome.detail}")


def _letter(row: bytes) -> Letter | None:
    try:
        data = orjson.loads(row)
        raw = base64.b64decode(data["raw"], validate=True)
        identity = blake2b(f"{data['input']}\0{data['stream']}\0{data['offset']}\0".encode() + raw, digest_size=6)
        return Letter(
            identity.hexdigest(),
            str(data["@timestamp"]),
            str(data["input"]),
            str(data["reason"]),
            str(data["detail"]),
            raw,
            bool(data["cut"]),
            str(data["stream"]),
            int(data["offset"]),
        )
    except (orjson.JSONDecodeError, binascii.Error, KeyError, TypeError, ValueError):
        return None
