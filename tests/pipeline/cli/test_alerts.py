"""`jsoc alerts` as a person uses it: over HTTP, with a token, against a running dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import yaml
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from dashboard.accounts import Accounts
from dashboard.app import create_app
from dashboard.tokens import Tokens
from pipeline.cli.alerts import alerts
from schemas.alert import Alert
from schemas.errors import ConfigError, ConnectionError_
from tests.alert_samples import alert_id, make_alert, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble
from tests.dashboard.live_site import serving, settings_on_free_port

ALERTS = stories(1_795_435_200_000)
TRANSFER, DDOS = alert_id("transfer"), alert_id("ddos")


@dataclass(frozen=True, slots=True)
class Centre:
    """The one-machine stack's folders, and its dashboard, running."""

    home: Path
    index: IndexDouble
    site: SimpleNamespace

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def operator(self) -> Path:
        return self.home / "etc" / "operator.yml"


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Centre]:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("dashboard.accounts.PasswordHasher", lambda: cheap)
    home = tmp_path / "home"
    monkeypatch.setenv("JSOC_HOME", str(home))
    for folder in ("secrets", "etc"):
        (home / folder).mkdir(parents=True)
    settings, index = settings_on_free_port(home / "secrets"), IndexDouble(list(ALERTS))
    app = create_app(settings, index, DocumentsDouble())
    one = Centre(home, index, app.state.site)
    dashboard = {"url": f"http://127.0.0.1:{settings.port}", "token_file": str(one.secrets / "operator-token")}
    one.operator.write_text(yaml.safe_dump({"dashboard": dashboard, "kafka": {"others": "read this"}}))
    # What the dashboard logs would stand in the command's own output.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with serving(app):
        yield one
    structlog.reset_defaults()


def run(*arguments: str | Path, columns: int = 100) -> Result:
    return CliRunner().invoke(
        alerts, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)}, standalone_mode=False
    )


def error_of(result: Result) -> str:
    assert isinstance(result.exception, ConfigError | ConnectionError_), result.output
    return str(result.exception)


def test_the_table_fits_80_columns_and_names_level_sentence_key_members_times_state_and_id(centre: Centre) -> None:
    result = run("list", columns=80)
    assert result.exit_code == 0, result.exception
    assert max(map(len, result.stdout.splitlines())) <= 80
    flat = re.sub(r"\s+", " ", result.stdout)
    for text in ("critical", "then a transfer at", "source.ip 203.0.113.77", "aurora-bank > meridian-bank", "1,286",
                 "settled", TRANSFER):  # fmt: skip
        assert text in flat


def test_json_is_one_alert_for_each_line_as_it_is_stored_with_its_workflow(centre: Centre) -> None:
    found = [json.loads(line) for line in run("list", "--format", "json").stdout.splitlines()]
    assert {one.pop("workflow")["status"] for one in found} == {"open"}
    expected = {alert.id: json.loads(alert.to_json()) for alert in ALERTS}
    expected = {key: one for key, one in expected.items() if one["jointsoc"]["alert"]["state"] != "superseded"}
    assert {one["event"]["id"]: one for one in found} == expected


def test_options_become_the_question(centre: Centre) -> None:
    run("work", DDOS, "close", "drill")
    closed = run("list", "--status", "closed", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["event"]["id"] for line in closed] == [DDOS]
    run("list", "--state", "settled", "--level", "high", "--level", "low", "--member", "kestrel-bank", "--text", "x",
        "--limit", "3")  # fmt: skip
    asked = centre.index.asked[-1]
    assert (asked.states, asked.levels, asked.hit) == (("settled",), ("high", "low"), ("kestrel-bank",))
    assert (asked.text, asked.limit) == ("x", 3)


def test_a_cut_list_says_so_on_stderr(centre: Centre) -> None:
    result = run("list", "--limit", "2", "--format", "json")
    assert len(result.stdout.splitlines()) == 2
    assert re.search(r"2 of \d alerts shown; --limit shows more", result.stderr)
    assert run("list", "--text", "nothing like it").stderr == "no alert fits\n"


def test_one_alert_is_shown_with_members_in_order_and_evidence(centre: Centre) -> None:
    result = run("show", TRANSFER, columns=200)
    lines = [line.strip() for line in result.stdout.splitlines()]
    members = [
        line.split()[0] for line in lines[lines.index("Order of spread") + 2 : lines.index("Evidence")] if line.strip()
    ]
    assert members == [member.id for member in ALERTS[1].jointsoc.members]
    assert "events.kestrel-bank / 1 /" in result.stdout
    assert json.loads(run("show", TRANSFER, "--format", "json").stdout)["message"]


def test_the_original_events_are_shown_where_kafka_still_holds_them(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ALERTS[1].jointsoc.evidence[0]

    def line(topic: str, partition: int, offset: int, number: int) -> bytes | None:
        return b'{"message":"sent by the member"}' if (topic, offset) == (held.topic, held.offset) else None

    monkeypatch.setattr(centre.site.events, "line", line)
    shown = run("show", TRANSFER, "--evidence").stdout
    assert '"message": "sent by the member"' in shown
    assert "Evidence 2: Kafka does not hold this event any more." in shown
    originals = json.loads(run("show", TRANSFER, "--evidence", "--format", "json").stdout)["originals"]
    assert len(originals) == len(ALERTS[1].jointsoc.evidence)
    assert "sent by the member" in originals[0]["pretty"]


def test_an_alert_is_worked_on_and_the_history_is_shown(centre: Centre) -> None:
    assert run("work", DDOS, "acknowledge").stdout == "acknowledged\n"
    assert run("work", DDOS, "close", "false_positive", "--why", "a load test").stdout == "closed false_positive\n"
    assert run("work", DDOS, "note", "agreed with the network team").exit_code == 0
    shown = run("show", DDOS, columns=160).stdout
    for text in ("closed false_positive (operator)", "operator closed false_positive: a load test",
                 "operator wrote: agreed with the network team"):  # fmt: skip
        assert text in shown
    assert "cannot be done now" in error_of(run("work", DDOS, "acknowledge"))
    assert {entry.who for entry in centre.site.audit.newest(10)} == {"operator"}


def test_whoever_read_an_older_revision_overwrites_nothing_and_learns_who_was_first(centre: Centre) -> None:
    run("work", DDOS, "acknowledge")
    late = run("work", DDOS, "close", "drill", "--seen", "0")
    assert late.return_value == 1
    assert "meanwhile:" in late.stderr
    assert "operator acknowledged" in late.stderr
    assert centre.site.desk.of(next(a for a in ALERTS if a.id == DDOS)).status == "acknowledged"


def test_the_stack_s_own_token_is_made_once_and_again_when_it_was_withdrawn(centre: Centre) -> None:
    run("list")
    path, tokens = centre.secrets / "operator-token", Tokens(centre.secrets)
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    run("list")
    assert path.read_text() == first
    tokens.withdraw("operator", "jsoc-alerts")
    assert run("list").exit_code == 0
    assert path.read_text() != first
    assert [token.label for token in tokens.of("operator")] == ["jsoc-alerts"]


def configured(folder: Path, url: str, secret: str | None, **more: str) -> Path:
    token = folder / "token"
    if secret is not None:
        token.touch(mode=0o600)
        token.write_text(secret)
    path = folder / "soc.yml"
    path.write_text(yaml.safe_dump({"dashboard": {"url": url, "token_file": str(token)} | more}))
    return path


def test_with_a_file_the_token_it_names_counts_and_faults_are_told_in_one_line(centre: Centre, tmp_path: Path) -> None:
    url = yaml.safe_load(centre.operator.read_text())["dashboard"]["url"]
    Accounts(centre.secrets).add("kim", "member_viewer", "kestrel-bank")
    viewer = Tokens(centre.secrets).make("kim", "test", 1)
    for given, secret, expected in (
        (url, None, "cannot read the secret"),
        (url, "jsoc_wrong", "answers 401 (not logged in). Try: make a token with `jsoc user token`"),
        (url, viewer, "answers 403 (your role does not allow this)"),
        ("http://127.0.0.1:9", "x", "no answer (ConnectError"),
        ("http://soc.example", "x", "not an https address"),
    ):
        assert expected in error_of(run("list", "--config", configured(tmp_path, given, secret)))
        (tmp_path / "token").unlink(missing_ok=True)
    wrong = configured(tmp_path, "https://127.0.0.1:9", "x", ca_file=str(centre.operator))
    assert "not a CA certificate" in error_of(run("list", "--config", wrong))


def test_while_the_index_is_away_the_person_is_told(centre: Centre) -> None:
    centre.index.away = True
    assert "answers 503 (The alert index does not answer.)" in error_of(run("list"))


@pytest.mark.parametrize("identity", ["nonsense", "../alerts", "202611-0123456789abcdef01234567"])
def test_an_unknown_id_is_one_clear_line(centre: Centre, identity: str) -> None:
    assert f"no such alert; got {identity}. Try: jsoc alerts list" in error_of(run("show", identity))


def test_without_a_stack_or_its_dashboard_the_person_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSOC_HOME", str(tmp_path))
    assert "there is no stack here yet. Try: jsoc up" in error_of(run("list"))
    (tmp_path / "etc").mkdir()
    dashboard = {"url": "http://127.0.0.1:9", "token_file": str(tmp_path / "secrets" / "operator-token")}
    (tmp_path / "etc" / "operator.yml").write_text(yaml.safe_dump({"dashboard": dashboard}))
    assert "the dashboard has not been started here yet. Try: jsoc up" in error_of(run("list"))


def test_hostile_text_reaches_the_terminal_harmless(centre: Centre) -> None:
    nasty = "\x1b]0;owned\x07[red]x[/red][link=http://evil]\u202e\r\n"
    hostile: Alert = make_alert("hostile", message=nasty, rule=nasty, group_by={nasty: nasty}, detections=(nasty,))
    for member in hostile.jointsoc.members:
        member.id = nasty
    centre.index.alerts = [hostile]
    run("work", hostile.id, "note", nasty)
    for arguments in (["list"], ["show", hostile.id]):
        output = run(*arguments, columns=400).stdout
        assert "\x1b" not in output
        assert "\x07" not in output
        assert "\u202e" not in output
        assert "[red]x[/red]" in output, "markup is text"
