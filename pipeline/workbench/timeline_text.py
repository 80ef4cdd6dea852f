"""A correlation's timeline as lines of text; foreign text is not made safe here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from pipeline.correlate.correlation import Correlation
from pipeline.workbench.timeline import GroupStory, Moment, Timeline
from schemas.times import to_rfc3339

MAX_STORIES: Final = 5
MAX_ROWS: Final = 20


def timeline_lines(timeline: Timeline) -> Iterator[str]:
    """The verdict, the groups that came closest, and what was not counted."""
    rule = timeline.rule
    yield f"{_verdict(met=timeline.alerted)} {rule.title} ({rule.id})"
    yield f"       {timeline.events:,} events; of these match:"
    for title, count in timeline.matched.items():
        yield f"       {count:>8,}  {title}"
    for story in timeline.stories[:MAX_STORIES]:
        yield from _story_lines(rule, story)
    if len(timeline.stories) > MAX_STORIES:
        yield f"... and {len(timeline.stories) - MAX_STORIES:,} more groups"
    for dropped, count in timeline.dropped.items():
        yield f"       {count:,} events of {dropped.member} not counted: {dropped.reason} ({dropped.field})"
    if timeline.refused:
        yield f"       {timeline.refused:,} lines are no events of these members; jsoc replay says why"


def _story_lines(rule: Correlation, story: GroupStory) -> Iterator[str]:
    key = ", ".join(f"{field} {value}" for field, value in story.group_by.items()) or "all events together"
    yield f"{_verdict(met=story.alerted)}   {key}"
    for need in story.needs:
        yield f"{_verdict(met=need.met)}     {need}"
    if not story.alerted and all(need.met for need in story.needs):
        yield "FAIL     the condition did not hold"
    if story.moments:
        first = story.moments[0].time
        yield f"         from {to_rfc3339(first)}, within {_span(rule.timespan)}:"
        rows = list(_rows(rule, story.moments, first))
        yield from rows[:MAX_ROWS]
        if len(rows) > MAX_ROWS:
            yield f"         ... and {len(rows) - MAX_ROWS:,} more rows"
    if story.elsewhere:
        yield f"         {story.elsewhere:,} more outside this window"


def _rows(rule: Correlation, moments: tuple[Moment, ...], first: int) -> Iterator[str]:
    for (member, mask), together in groupby(moments, key=lambda moment: (moment.member, moment.references)):
        run = list(together)
        titles = ", ".join(one.title for number, one in enumerate(rule.references) if mask >> number & 1)
        times = f"+{_span(run[0].time - first)}"
        if len(run) > 1:
            times += f" to +{_span(run[-1].time - first)}"
        yield f"         {times:<24} {member:<20} {len(run):>5} x {titles}"


def _verdict(*, met: bool) -> str:
    return "PASS" if met else "FAIL"


def _span(milliseconds: int) -> str:
    """A span in words: `1h 5m`, `250ms`.

    >>> [_span(span) for span in (0, 250, 3_900_000)]
    ['0s', '250ms', '1h 5m']
    """
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"
