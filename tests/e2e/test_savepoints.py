"""A savepoint is continued: with more workers or fewer, and by a later release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.alert import Alert
from schemas.times import now_ms
from tests.conditions import wait_for
from tests.e2e.accounts import settled_accounts
from tests.e2e.campaign import Campaign
from tests.e2e.recorded_job import RECORDED, recorded_job, unpacked
from tests.e2e.recorded_story import FAR, halves, whole_pack
from tests.e2e.test_nothing_is_lost import check_accounts, converged, disturbances, send
from tests.local_centre import LocalCentre
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def test_more_and_fewer_workers_go_on_from_a_savepoint_with_the_same_alerts(stack: RunningStack) -> None:
    before = settled_accounts(stack)
    campaign = Campaign(5, now_ms(), stack.members)
    with disturbances((10, lambda: stack.rescale(2)), (15, lambda: stack.rescale(1))):
        send(stack, campaign)
    assert converged(stack, campaign)
    check_accounts(stack, before, (campaign,))


@pytest.mark.parametrize("recording", sorted(RECORDED.glob("*.zip")), ids=lambda path: path.stem)
def test_windows_open_in_a_savepoint_of_a_release_end_in_the_same_alerts(
    stack: RunningStack, tmp_path: Path, recording: Path
) -> None:
    savepoint, offsets = unpacked(recording, tmp_path)
    early, later, rest = halves()
    expected = told_by(LocalCentre(whole_pack()))
    dead = len(stack.dead_letters())
    with recorded_job(stack, tmp_path) as job:
        job.fill(offsets)
        job.start(whole_pack(), savepoint)
        job.send(rest)
        job.await_lines(len(early) + len(later) + len(rest))
        job.tick(FAR)
        wait_for(lambda: found(stack, expected) == expected, lambda: found(stack, expected))
    assert len(stack.dead_letters()) == dead, "what was read before the savepoint is not read again"


def told_by(centre: LocalCentre) -> dict[str, dict[str, Any]]:
    """The settled alerts of the whole story."""
    for half in halves():
        centre.take(half)
    centre.tick(FAR)
    centre.settle()
    return {alert.id: comparable(alert) for alert in centre.standing()}


def found(stack: RunningStack, expected: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The alerts in Elasticsearch of the rules that are to alert."""
    alerts = [Alert.model_validate(each) for each in stack.alerts({one["rule"]["name"] for one in expected.values()})]
    return {alert.id: comparable(alert) for alert in alerts if alert.jointsoc.alert.state != "superseded"}


def comparable(alert: Alert) -> dict[str, Any]:
    """All that does not depend on the offsets, which ticks move, and on the format of the pack."""
    told = alert.model_dump(mode="json", by_alias=True, exclude={"jointsoc": {"pack"}})
    for place in told["jointsoc"]["evidence"]:
        del place["offset"]
    return told
