"""What the demo shows: a transcript that stays, and on a terminal one live line below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.story import Said
from deploy.demo.verdict import Difference, Growth
from deploy.demo.watch import News
from schemas.alert import Level
from schemas.errors import printable

_STYLES: Final[dict[Level, str]] = {
    "critical": "bold white on red",
    "high": "bold black on yellow",
    "medium": "bold yellow",
    "low": "cyan",
    "informational": "dim",
}


class Screen:
    """Writes the transcript.

    Args:
        console: where to.
        names: member id -> the institution's name.
        start: ms; the transcript's 0:00.
        end: ms; when the last story ends.
    """

    def __init__(self, console: Console, names: Mapping[str, str], start: int, end: int) -> None:
        self._console, self._names, self._start, self._end = console, names, start, end
        self._status = Live(console=console, refresh_per_second=4, transient=True)
        self._live = console.is_terminal and not console.is_dumb_terminal

    def __enter__(self) -> Screen:
        if self._live:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._status.stop()

    def tell(self, said: Said) -> None:
        """Something happened at an institution."""
        style = "dim" if said.decoy else ""
        self._line(said.at, Text(self._name(said.member), style), Text(printable(said.words), style))

    def report(self, news: News, at: int) -> None:
        """The joint SOC found something, or it spread."""
        alert = news.item.alert
        level = alert.jointsoc.alert.level
        if news.fresh:
            self._line(at, _badge(level), Text(printable(alert.message), "bold"))
            self._line(None, Text(), Text(self.spread(news.item), "dim"))
        else:
            joined = ", ".join(self._name(member) for member in news.joined)
            words = f"also at {joined}: {printable(alert.rule.name)}, {alert.jointsoc.events:,} events"
            self._line(at, Text(f"{level} ", "dim"), Text(words, "dim"))

    def show(self, now: int, written: int, alerts: int, wanted: int) -> None:
        """Renew the live line; does nothing elsewhere than on a terminal."""
        if not self._live:
            return
        row = Table.grid(padding=(0, 2))
        total = self._end - self._start
        bar = ProgressBar(total=total, completed=min(max(now - self._start, 0), total), width=24)
        words = f"{written:,} log lines written · {alerts} of {wanted} alerts"
        row.add_row(Text(self._clock(now), "bold"), bar, Text(self._clock(self._end), "dim"), Text(words))
        self._status.update(row)

    def summary(self, grown: Sequence[Growth]) -> None:
        """Every alert as it stands at the end."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("level", "alert", "spread, events", "groups"):
            table.add_column(column, justify="right" if column == "groups" else "left", overflow="fold")
        for item in grown:
            level = item.alert.jointsoc.alert.level
            spread = " → ".join(f"{self._name(member)} {count}" for member, count in item.members.items())
            title = printable(item.alert.rule.name)
            table.add_row(_badge(level), Text(title), Text(spread), str(item.groups))
        self._console.print()
        self._console.print(table)
        self._console.print()

    def differ(self, differing: Sequence[Difference]) -> None:
        """What is not as the stories promise."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("alert", "what", "expected", "found"):
            table.add_column(column, overflow="fold")
        for difference in differing:
            table.add_row(*(Text(printable(cell)) for cell in difference))
        self._console.print(table)

    def say(self, words: str = "", style: str = "") -> None:
        """A line of its own."""
        self._console.print(Text(words, style), soft_wrap=True)

    def spread(self, item: Growth) -> str:
        """Members in the order in which they were reached."""
        members = " → ".join(self._name(member) for member in item.members)
        return f"{members} · {item.groups} corporate group{'s' if item.groups > 1 else ''}"

    def _name(self, member: str) -> str:
        return self._names.get(member, printable(member))

    def _line(self, at: int | None, mark: Text, words: Text) -> None:
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=6, justify="right")
        row.add_column(width=max(map(len, self._names.values()), default=0), justify="right")
        row.add_column()
        row.add_row(Text("" if at is None else self._clock(at), "dim"), mark, words)
        self._console.print(row)

    def _clock(self, at: int) -> str:
        seconds = max(0, at - self._start) // 1000
        return f"{seconds // 60}:{seconds % 60:02d}"


def _badge(level: Level) -> Text:
    """The level on its colour; the padding of a table cell stays plain."""
    return Text().append(f" {level.upper()} ", _STYLES[level])
