from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from connectors.forwarder.dry_run import try_lines
from connectors.forwarder.report import kind_of, report
from tests.connectors.forwarder.bench import Bench


class Reader(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: dict[str, str] = {}
        self._kind = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self._kind = dict(attrs).get("class") or ""

    def handle_data(self, data: str) -> None:
        if self._kind:
            self.rows.setdefault(data, self._kind)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.log_logins(1)
    made.log('{"time":"2026-11-23T02:00:00Z","event":"<script>alert(1)</script>","session":"9f"}\n')
    return made


def page(bench: Bench) -> str:
    settings = bench.settings()
    return report(settings, try_lines(settings, 10), "abc123")


def test_every_field_that_leaves_is_marked_by_how_it_is_protected(bench: Bench) -> None:
    rows = Reader(page(bench)).rows
    assert (rows["user.hash"], rows["source.ip"], rows["event.module"], rows["event.id"]) == (
        "hash",
        "reduced",
        "set",
        "set",
    )


def test_what_stays_and_which_policy_holds_is_said(bench: Bench) -> None:
    text = page(bench)
    assert "abc123" in text
    assert "Read and not forwarded: <code>session</code>" in text


def test_hostile_lines_are_shown_and_do_nothing(bench: Bench) -> None:
    text = page(bench)
    assert "&lt;script&gt;" in text
    assert "script" not in Reader(text).tags
    assert "default-src 'none'" in text


def test_an_input_without_a_log_shows_the_samples_of_its_mapping(bench: Bench) -> None:
    bench.data["inputs"].append({"name": "bus", "type": "syslog", "listen": "127.0.0.1:5514", "mapping": "sshd-auth"})
    text = page(bench)
    assert "samples of the mapping" in text
    assert "kst-web-1" in text


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        ("hmac(federation, customer) of user", "hash"),
        ("url_path of target", "reduced"),
        ("text of method", "plain"),
        ("integer of status", "plain"),
        ("set by the mapping", "set"),
        ("time", "plain"),
    ],
)
def test_the_kind_follows_from_the_origin(origin: str, kind: str) -> None:
    assert kind_of(origin) == kind
