from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from connectors.forwarder.normalise import MAX_EVENT_BYTES, Normaliser, Ready
from connectors.mapping.compiled import CompiledMapping, Refused
from connectors.sources.line import Line
from tests.connectors.mapping.mapping_files import KEYS, compiled

RAW = b'{"time":"2026-11-23T02:00:00Z","src":"203.0.113.9","dst":"203.0.113.9","host":"h"}'


def normaliser(folder: Path, rule: str) -> Normaliser:
    return Normaliser("kestrel-bank", "web", compiled(folder, f"rules: [{{name: all, {rule}}}]"), b"k" * 32)


def line(raw: bytes = RAW, **changes: object) -> Line:
    return Line(raw, "5.0", 0, len(raw) + 1)._replace(**changes)  # type: ignore[arg-type]


def test_pivots_are_collected_once_each(tmp_path: Path) -> None:
    rule = (
        "map: {source.ip: {from: src, as: ip}, destination.ip: {from: dst, as: ip}}, "
        "hmac: {host.id: {from: host, key: institution, kind: host}}"
    )
    ready = normaliser(tmp_path, rule).normalise(line())
    assert isinstance(ready, Ready)
    event = orjson.loads(ready.payload)
    assert event["related.ip"] == ["203.0.113.9"]
    assert event["related.hosts"] == [KEYS.of("institution", "host", "h")]
    assert "related.user" not in event


def test_an_id_depends_on_place_and_text_and_nothing_else(tmp_path: Path) -> None:
    make = normaliser(tmp_path, "map: {event.action: src}")

    def identity(one: Line) -> str:
        ready = make.normalise(one)
        assert isinstance(ready, Ready)
        return str(orjson.loads(ready.payload)["event.id"])

    assert identity(line()) == identity(line(end=999))
    assert (
        len({identity(line()), identity(line(start=1)), identity(line(stream="5.1")), identity(line(RAW + b" "))}) == 4
    )


def test_an_event_that_grew_too_large_is_refused(tmp_path: Path) -> None:
    moves = ", ".join(f"a.f{number}: f{number}" for number in range(40))
    raw = orjson.dumps({"time": "2026-11-23T02:00:00Z"} | {f"f{number}": "\x01" * 16_000 for number in range(40)})
    outcome = normaliser(tmp_path, f"map: {{{moves}}}").normalise(line(raw))
    assert isinstance(outcome, Refused)
    assert (outcome.reason, str(MAX_EVENT_BYTES) in outcome.detail) == ("too-large", True)


def test_explain_shows_what_would_be_sent(tmp_path: Path) -> None:
    make = normaliser(tmp_path, "map: {event.action: src}")
    event, origins = make.explain(line())
    ready = make.normalise(line())
    assert isinstance(ready, Ready)
    assert event == orjson.loads(ready.payload)
    assert origins["event.action"] == "text of src"


def test_a_defect_in_the_mapping_code_costs_one_line_and_not_the_forwarder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompiledMapping, "apply", lambda *_: 1 / 0)
    outcome = normaliser(tmp_path, "map: {event.action: src}").normalise(line())
    assert outcome == Refused("defect", "ZeroDivisionError: division by zero")
