from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deploy.local.job_reports import Accounts, Reports, counted, is_taken, read_reports
from schemas.errors import ConfigError
from schemas.health import NotCounted, PackReport, PartitionAccount, ShardAccount
from schemas.times import to_rfc3339

PUT = 1_795_435_200_000
"""When the pack `new` was put in place, ms."""


def report(worker: str, version: str, at: int = PUT + 1, refused: str = "") -> PackReport:
    stage = "detect" if worker.startswith("detect") else "correlate"
    return PackReport(timestamp=to_rfc3339(at), stage=stage, worker=worker, version=version, refused=refused)  # type: ignore[arg-type]


def reports(*found: PackReport) -> Reports:
    return {each.worker: each for each in found}


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ((), False),
        ((report("detect/0", "new"),), False),
        ((report("detect/0", "new"), report("correlate/0", "new")), True),
        ((report("detect/0", "new"), report("correlate/0", "old")), False),
        ((report("detect/0", "new"), report("detect/1", "old"), report("correlate/0", "new")), False),
        ((report("detect/0", "new", PUT - 1), report("correlate/0", "new")), True),
        ((report("detect/0", "old", PUT - 1, refused="damaged"), report("correlate/0", "old")), False),
        ((report("detect/0", "new", refused="what came before"), report("correlate/0", "new")), True),
    ],
)
def test_a_pack_is_taken_when_both_stages_use_it_and_no_worker_another(
    found: tuple[PackReport, ...], taken: bool
) -> None:
    assert is_taken(reports(*found), "new", PUT) is taken


def test_a_refusal_of_this_pack_is_told_with_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"worker detect/1 refuses it, .*; got hash does not fit"):
        is_taken(reports(report("detect/1", "old", refused="hash does not fit")), "new", PUT)


class Health:
    """A consumer that has been given these values."""

    def __init__(self, *values: bytes) -> None:
        self._values = values

    def poll(self, timeout_ms: int) -> dict[str, list[Any]]:
        return {"health-0": [SimpleNamespace(value=value) for value in self._values]}


def test_the_newest_report_of_each_worker_counts_and_other_messages_do_not() -> None:
    known: Reports = {}
    said = [
        report("detect/0", "old"),
        report("detect/0", "new"),
        report("detect/7", "old"),
        report("correlate/0", "new"),
    ]
    read_reports(Health(b"nonsense", b'{"kind": "heartbeat"}', *(each.to_json() for each in said)), known, workers=2)
    assert {worker: each.version for worker, each in known.items()} == {"detect/0": "new", "correlate/0": "new"}


def test_what_was_not_used_is_added_up_over_partitions_and_shards() -> None:
    missing = NotCounted(reason="missing_group_key", correlation="c", field="f", count=2)
    accounts: Accounts = {
        f"events.a/{number}": PartitionAccount(
            timestamp="",
            topic="events.a",
            partition=number,
            next_offset=9,
            lines=8,
            dead=1,
            late=3,
            not_counted=[missing],
        )
        for number in range(2)
    }
    accounts["shard/1"] = ShardAccount(timestamp="", shard=1, counters={"thinned_hits": 5, "abandoned_groups": 0})
    assert counted(accounts) == {"lines": 16, "dead": 2, "late": 6, "missing_group_key": 4, "thinned_hits": 5}
