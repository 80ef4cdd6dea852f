"""A savepoint is continued: with more workers or fewer, and by a later release."""

from __future__ import annotations

import pytest

from schemas.times import now_ms
from tests.e2e.accounts import settled_accounts
from tests.e2e.campaign import Campaign
from tests.e2e.test_nothing_is_lost import check_accounts, converged, disturbances, send
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def test_more_and_fewer_workers_go_on_from_a_savepoint_with_the_same_alerts(stack: RunningStack) -> None:
    before = settled_accounts(stack)
    campaign = Campaign(5, now_ms(), stack.members)
    with disturbances((10, lambda: stack.rescale(2)), (15, lambda: stack.rescale(1))):
        send(stack, campaign)
    assert converged(stack, campaign)
    check_accounts(stack, before, (campaign,))
