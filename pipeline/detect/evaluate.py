"""All rules against one event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.detect.plan import DetectionPlan
from pipeline.detect.routing import applies, names_of, stated_names
from pipeline.detect.siblings import compile_fused
from pipeline.detect.view import EventView
from pipeline.detect.witnesses import MEMO_BYTES, Budget, Candidates, witnesses_of
from schemas.event import Fields
from schemas.logsource import FIELDS

MAX_ROUTES: Final = 256
"""An event may claim any log source, so what was worked out for invented ones is dropped."""


class Detector:
    """Holds compiled plans; `match` says which of them an event fulfils.

    Args:
        plans: the detections; their positions are what `match` returns.
        routed: put an event only to the rules of its log source (`jointsoc.logsource.*`); false: to all of them.
        memo_bytes: what remembered values may take.

    Raises:
        RuleError: a plan with a regular expression that does not compile (a damaged pack).
    """

    def __init__(self, plans: Sequence[DetectionPlan], *, routed: bool = True, memo_bytes: int = MEMO_BYTES) -> None:
        self.plans = tuple(plans)
        self._routed = routed
        self._memo_bytes = memo_bytes
        self._tests = tuple(compile_fused(plan.expression) for plan in self.plans)
        self._witnesses = tuple(witnesses_of(plan.expression) for plan in self.plans)
        self._forget()

    def match(self, fields: Fields) -> tuple[int, ...]:
        """Indexes of the plans the event fulfils, ascending. Never raises, whatever the fields hold."""
        tests, view = self._tests, EventView(fields)
        return tuple(rule for rule in self._route(fields).of(fields) if tests[rule](view))

    def routed_rules(self, fields: Fields) -> tuple[int, ...]:
        """Indexes of the plans that are about the event's log source."""
        if not self._routed:
            return tuple(range(len(self.plans)))
        names = names_of(fields)
        return tuple(index for index, plan in enumerate(self.plans) if applies(plan.logsource, names))

    def routed_count(self, fields: Fields) -> int:
        """How many plans are about the event's log source."""
        return self._route(fields).size

    def _route(self, fields: Fields) -> Candidates:
        stated = tuple(stated_names(fields.get(field)) for field in FIELDS) if self._routed else ()
        known = self._routes.get(stated)
        if known is None:
            if len(self._routes) >= MAX_ROUTES:
                self._forget()
            known = self._routes[stated] = Candidates(self.routed_rules(fields), self._witnesses, self._budget)
        return known

    def _forget(self) -> None:
        self._budget = Budget(self._memo_bytes)
        self._routes: dict[tuple[tuple[str, ...], ...], Candidates] = {}
