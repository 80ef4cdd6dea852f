"""A correlation at work: the rule, and what all of its groups share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.correlate.clock import NEVER
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.instants import Referral
from pipeline.correlate.thinning import THIN_ABOVE, Thinning
from pipeline.correlate.waiting import Waiting

REFRESH: Final = 5_000
"""Milliseconds of the settle line between revisions that tell of nothing but more: a flood is one growing alert."""
EVICTION_PARTS: Final = 4
"""Old hits stay for up to this part of the timespan longer than they matter."""


class Watch:
    """A correlation together with what it needs to be evaluated; one for all of its groups.

    Args:
        correlation: the rule.
        groups: member -> corporate group.
        thin_above: hits that a group may hold before it is thinned.
        referrals: the places where other correlations refer to it.
    """

    def __init__(
        self,
        correlation: Correlation,
        groups: Mapping[str, str],
        thin_above: int = THIN_ABOVE,
        referrals: Sequence[Referral] = (),
    ) -> None:
        self.correlation = correlation
        self.groups = groups
        self.eager = correlation.eager
        self.timespan = correlation.timespan
        self.gap = correlation.suppress
        self.ahead = 0
        """Milliseconds by which its settle line is ahead of the shard's; the shard sets this and the next."""
        self.settled = NEVER
        """Its settle line."""
        # Nothing depends on when old hits go: several at a time cost less.
        self.slack = 1 + correlation.timespan // EVICTION_PARTS
        self.refresh = REFRESH
        self.tells_open = True
        """Whether alerts are told while they grow, and not only when they have settled."""
        self.waiting = Waiting(correlation, groups)
        self.alerts = correlation.alerts
        self.referrals = referrals
        self.thinning = Thinning(correlation, groups, thin_above, referred=bool(referrals))
