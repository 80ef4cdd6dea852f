"""State that an earlier release wrote: this one must read it and go on, or say in words that it cannot.

`python -m tests.pipeline.correlate.test_recorded_state` records the state of the current format. A format that was
released stays: its recording is never written anew.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.correlate.correlation import Comparison, Correlation, Reference
from pipeline.correlate.shard import Limits, Shard
from pipeline.correlate.store import FORMAT, DictStore
from schemas.alert import Alert
from schemas.errors import ConfigError
from schemas.hit import GroupHit
from tests.pipeline.correlate.streams import BASE, END, REGISTRY, clauses, correlation, hit

RECORDED = Path(__file__).parent / "recorded"
LIMITS = Limits(thin_above=24)


class Recording(msgspec.Struct):
    """The state in the middle of a stream, and what must come out when the rest is fed."""

    entries: dict[bytes, bytes]
    settled: list[tuple[str, str, int | None]]
    """Id, last satisfied time, and the number of hits where it is exact."""


def rules() -> list[Correlation]:
    """A rule of each kind of state: counts and their samples, absences, chains, values."""
    lower = correlation(
        "temporal_ordered", span=160, references=2, id="lower", alerts=False, family="f", family_key=(0,)
    )
    two = (Comparison("gte", 2),)
    upper = correlation("event_count", id="upper", span=320, comparisons=two, family="f", family_key=(0,))
    return [
        correlation("event_count", span=160, comparisons=(Comparison("gte", 3),), min_organizations=2, suppress=640),
        correlation("value_sum", span=160, values=("n",), comparisons=(Comparison("gt", 2.5),)),
        correlation("value_count", span=160, values=("n",), comparisons=two),
        correlation("temporal", span=160, references=2, clauses=clauses(((0,), (1,)))),
        lower,
        msgspec.structs.replace(upper, references=(Reference("lower", "Lower"),)),
    ]


def stream() -> list[GroupHit]:
    """Hits of all rules, two groups, a burst in the middle."""
    hits = []
    for n in range(120):
        for rule in rules()[:5]:
            time = n if not 50 <= n < 90 else 50 + n % 3
            shape = {"member": n % 4, "mask": 1 + (n * 7 + 3) // 4 % len(rule.references), "group": "xy"[n % 2]}
            hits.append(hit(16 * time, value=(n % 5) * 500_000, name=str(n), rule=rule.id, **shape))
    return hits


def shard_of(store: DictStore) -> Shard:
    """A shard of the rules."""
    return Shard({rule.id: rule for rule in rules()}, REGISTRY, store, limits=LIMITS)


def first_half(store: DictStore) -> list[Alert]:
    """Feed one half: some of it in pages, some in the journal."""
    shard, hits = shard_of(store), stream()
    said = shard.feed(hits[:200])
    said += shard.advance(BASE + 320)
    shard.save()
    return said + shard.feed(hits[200:400]) + shard.advance(BASE + 720)


def second_half(store: DictStore) -> list[tuple[str, str, int | None]]:
    """What settles when the rest is fed to a shard that is made from the store."""
    shard = shard_of(store)
    said = shard.feed(stream()[400:]) + shard.advance(END)
    assert shard.counters.late_after_settle == 0
    settled = [one for one in said if one.jointsoc.alert.state == "settled"]
    return sorted((one.id, one.timestamp, one.jointsoc.events if one.jointsoc.alert.exact else None) for one in settled)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.msgpack")), ids=lambda path: path.stem)
def test_a_recorded_state_is_read_and_goes_on_as_it_would_have(path: Path) -> None:
    recording = msgspec.msgpack.decode(path.read_bytes(), type=Recording)
    store = DictStore()
    store.entries = dict(recording.entries)
    assert second_half(store) == recording.settled


def test_the_current_format_is_recorded() -> None:
    assert (RECORDED / f"format-{FORMAT}.msgpack").exists()


def test_the_recording_holds_every_kind_of_state() -> None:
    recording = msgspec.msgpack.decode((RECORDED / f"format-{FORMAT}.msgpack").read_bytes(), type=Recording)
    assert {key[:1] for key in recording.entries if len(key) != 16} == {b"s", b"j", b"t"}
    assert len([key for key in recording.entries if len(key) == 16]) >= 10
    assert len(recording.settled) >= 8


def test_a_page_of_another_format_is_refused_when_it_is_read() -> None:
    store = DictStore()
    first_half(store)
    for key in [key for key in store.entries if len(key) == 16]:
        page = msgspec.msgpack.decode(store.entries[key])
        store.put(key, msgspec.msgpack.encode([FORMAT + 1, *page[1:], "something new"]))
    with pytest.raises(ConfigError, match=f"written in another format; got {FORMAT + 1}; expected {FORMAT}"):
        second_half(store)


def _record() -> None:
    store = DictStore()
    first_half(store)
    entries = dict(sorted(store.entries.items()))
    recording = Recording(entries, second_half(store))
    (RECORDED / f"format-{FORMAT}.msgpack").write_bytes(msgspec.msgpack.encode(recording))


if __name__ == "__main__":
    _record()
