"""Real machines' background raises no alert, though two corporate groups see the same of it at the same time."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson
import pytest

from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.library import find_mapping
from connectors.pseudonyms import Pseudonyms
from schemas.member import Member, MemberRegistry
from schemas.times import to_rfc3339
from tests.local_centre import ROOT, Arrival, LocalCentre, build_our_pack

RECORDINGS: Final = ROOT.parent / "shared" / "corpora" / "otrf"
NOON: Final = 1_795_435_200_000
BEFORE_THE_ATTACK: Final = 250
"""Events: each recording is of an attack, and begins with what its machines do anyway."""
AT_ONCE: Final = "The same remote execution tool at several institutions"
"""What one recording begins with: PsExec's service. It shows that an alert would be noticed."""
ENVELOPE: Final = frozenset({"@timestamp", "Channel", "EventID", "EventTime", "Hostname", "SourceName", "TimeCreated"})
MEMBERS: Final = MemberRegistry(members=tuple(Member(id=f"bank-{number}", name="A bank") for number in range(5)))
TWO: Final = MEMBERS.members[:2]


def beginnings() -> Iterator[dict[str, Any]]:
    """Windows events as Winlogbeat would have published them."""
    for path in sorted(RECORDINGS.glob("*.gz")):
        with gzip.open(path) as lines:
            events = (orjson.loads(line) for line in lines if line.strip())
            for event in islice((one for one in events if "Channel" in one), BEFORE_THE_ATTACK):
                yield {
                    "winlog": {
                        "channel": event["Channel"],
                        "event_id": event.get("EventID"),
                        "provider_name": event.get("SourceName"),
                        "computer_name": event.get("Hostname"),
                        "event_data": {name: value for name, value in event.items() if name not in ENVELOPE},
                    }
                }


def mapping(number: int) -> CompiledMapping:
    pseudonyms = Pseudonyms(bytes([number + 1]) * 32, b"f" * 32)
    around = Surroundings(pseudonyms, now=lambda: NOON, include=frozenset({"process.command_line"}))
    return find_mapping("windows-winlogbeat").compile(around)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside this project")
def test_the_same_background_at_two_institutions_raises_no_alert_but_for_the_attack_in_it() -> None:
    centre = LocalCentre(build_our_pack(MEMBERS))
    mappings = [(member.id, mapping(number)) for number, member in enumerate(TWO)]
    arrivals = []
    for number, event in enumerate(beginnings()):
        at = NOON + number * 200
        line = orjson.dumps({"@timestamp": to_rfc3339(at), **event})
        for member, forwarder in mappings:
            mapped = forwarder.apply(line)
            if isinstance(mapped, dict):
                arrivals.append(Arrival(at + 300, member, {**mapped, "event.id": f"{member}/{number}"}))
    centre.take(arrivals)
    centre.settle()
    assert len(arrivals) > 5_000
    assert not centre.dead
    assert [alert.rule.name for alert in centre.standing()] == [AT_ONCE]
