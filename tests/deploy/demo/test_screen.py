from __future__ import annotations

import io

from rich.console import Console

from deploy.demo.screen import Screen
from deploy.demo.story import Said
from deploy.demo.verdict import Difference, Growth
from deploy.demo.watch import News
from tests.alert_samples import make_alert

NAMES = {"kestrel-bank": "Kestrel Bank", "cobalt-bank": "Cobalt Bank"}
SPREAD = (("kestrel-bank", 0, 1, 3), ("cobalt-bank", 1, 2, 4))


def shown(*, width: int = 120) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(Console(file=out, width=width), NAMES, 60_000, 160_000), out


def growth(message: str = "stuffing at two") -> Growth:
    return Growth(make_alert(spread=SPREAD, message=message), {"kestrel-bank": 3, "cobalt-bank": 4})


def test_the_transcript_says_when_where_and_what() -> None:
    screen, out = shown()
    with screen:
        screen.tell(Said(75_500, "kestrel-bank", "203.0.113.7 tries passwords", decoy=False))
    assert out.getvalue().split() == ["0:15", "Kestrel", "Bank", "203.0.113.7", "tries", "passwords"]


def test_an_alert_shows_its_level_sentence_and_spread() -> None:
    screen, out = shown()
    screen.report(News(growth(), ("kestrel-bank", "cobalt-bank"), fresh=True), 90_000)
    text = out.getvalue()
    assert "HIGH" in text
    assert "stuffing at two" in text
    assert "Kestrel Bank → Cobalt Bank · 2 corporate groups" in text


def test_no_escape_of_foreign_text_reaches_the_terminal() -> None:
    screen, out = shown()
    screen.report(News(growth("\x1b[31m[bold]boo\x1b]0;x\x07"), (), fresh=True), 90_000)
    screen.differ([Difference("rule \x1b[2J", "alert", "none", "[red]\x9b")])
    text = out.getvalue()
    assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert "[bold]boo" in text


def test_the_summary_names_every_alert_with_its_spread() -> None:
    screen, out = shown()
    screen.summary([growth()])
    assert "Kestrel Bank 3 → Cobalt Bank 4" in out.getvalue()


def test_nothing_moves_where_nobody_watches() -> None:
    screen, out = shown()
    with screen:
        screen.show(100_000, 10, 1, 5)
    assert out.getvalue() == ""
