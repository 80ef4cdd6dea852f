from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from connectors.forwarder.letters import Letter, read_letters, replay
from connectors.mapping.library import find_mapping
from tests.connectors.forwarder.bench import Bench
from tests.connectors.forwarder.fake_broker import FakeBroker

UNKNOWN = '{{"time":"2026-11-23T02:00:00Z","event":"limit_raised","result":"success","user":"u{}"}}\n'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Three letters: two of an event the mapping does not know, and no JSON."""
    made = Bench(tmp_path)
    made.log(UNKNOWN.format(1) + UNKNOWN.format(2) + "no json\n")
    broker = FakeBroker()
    running = made.start(broker)
    running.wait_until(lambda: made.letters.exists() and made.letters.read_bytes().count(b"\n") == 3)
    running.stop()
    return made


def mend(bench: Bench) -> None:
    text = find_mapping("customer-portal").path.read_text(encoding="utf-8")
    rule = "rules:\n  - name: limit raised\n    match: {event: limit_raised}\n    set: {event.action: limit_raised}\n"
    own = bench.folder / "own.yml"
    own.write_text(text.replace("rules:\n", rule, 1), encoding="utf-8")
    bench.data["inputs"][0]["mapping"] = str(own)


def letters(bench: Bench) -> list[Letter]:
    return list(read_letters(bench.folder / "state"))


def test_a_mended_mapping_sends_what_was_dead_with_the_ids_it_would_have_had(bench: Bench) -> None:
    mend(bench)
    sent: list[bytes] = []
    attempts = list(replay(bench.settings(), letters(bench), sent.append))
    assert [(attempt.sent, attempt.why.split(":")[0]) for attempt in attempts] == [
        (True, ""),
        (True, ""),
        (False, "not-json"),
    ]
    bench.positions.unlink()
    broker = FakeBroker()
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 2)
    running.stop()
    assert [orjson.loads(event) for event in sent] == broker.events()


def test_what_was_sent_is_not_listed_again(bench: Bench) -> None:
    mend(bench)
    list(replay(bench.settings(), letters(bench), lambda _: None, remember=False))
    assert len(letters(bench)) == 3
    list(replay(bench.settings(), letters(bench), lambda _: None))
    assert [letter.reason for letter in letters(bench)] == ["not-json"]


def test_a_letter_that_cannot_be_sent_stays(bench: Bench) -> None:
    def refuse(_: bytes) -> None:
        raise OSError("the broker is away")

    mend(bench)
    with pytest.raises(OSError, match="away"):
        list(replay(bench.settings(), letters(bench), refuse))
    assert len(letters(bench)) == 3


def test_what_cannot_be_mapped_again_says_why(bench: Bench) -> None:
    whole = letters(bench)[0]
    cut = whole._replace(cut=True)
    gone = whole._replace(input="gone")
    attempts = list(replay(bench.settings(), [cut, gone], lambda _: None))
    assert [attempt.why for attempt in attempts] == [
        "only its beginning was kept",
        "no input is named gone any more",
    ]


def test_a_damaged_row_does_not_hide_the_others(bench: Bench) -> None:
    rows = bench.letters.read_bytes().splitlines(keepends=True)
    bench.letters.write_bytes(rows[0] + b'{"raw": 3}\n' + b"\xff\n" + rows[1] + rows[2][:30])
    assert len(letters(bench)) == 2
