from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import rule_pack
from deploy.local.job_reports import Reports
from deploy.local.rule_pack import pinned_pack, put_in_force
from deploy.local.settings import StackSettings
from deploy.local.stack import activate_rules, renew_rules
from pipeline.rulepack import RulePack, build_pack, read_pack
from schemas.errors import ConfigError
from schemas.health import PackReport
from schemas.member import Member, MemberRegistry, save_registry
from schemas.times import now_ms, to_rfc3339

RULE = """\
title: Log-in failed
id: 00000001-0000-4000-8000-000000000000
logsource: {product: portal}
detection: {sel: {event.outcome: failure}, condition: sel}
"""
BANKS = MemberRegistry(members=(Member(id="kestrel-bank", name="Kestrel Bank"),))


def quiet(*_: object) -> None:
    pass


@pytest.fixture
def settings(settings: StackSettings) -> StackSettings:
    settings.etc.mkdir(parents=True)
    save_registry(settings.members_file, BANKS)
    return settings


@pytest.fixture
def chosen(tmp_path: Path) -> Path:
    (tmp_path / "login.yml").write_text(RULE)
    build_pack([tmp_path / "login.yml"], MemberRegistry()).write(tmp_path / "chosen.pack")
    return tmp_path / "chosen.pack"


class Job:
    """A job whose workers answer to the pack in place."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self.refuses = ""
        self.partitions = 2
        self.keeps = ""

    def read(self, _: object, known: Reports, workers: int) -> None:
        placed = read_pack(self._settings.pack_file).version
        version = self.keeps if self.refuses else placed
        for stage in ("detect", "correlate"):
            known[f"{stage}/0"] = PackReport(
                timestamp=to_rfc3339(now_ms()), stage=stage, worker=f"{stage}/0", version=version, refused=self.refuses
            )


@pytest.fixture
def job(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(settings)

    @contextmanager
    def health(_: object) -> Iterator[None]:
        yield None

    monkeypatch.setattr(rule_pack, "_job_runs", lambda _: True)
    monkeypatch.setattr(rule_pack, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(rule_pack, "open_health", health)
    monkeypatch.setattr(rule_pack, "_wake_workers", lambda _: job.partitions)
    monkeypatch.setattr(rule_pack, "read_reports", job.read)
    return job


def test_with_the_stack_down_the_pack_waits_for_the_job(settings: StackSettings, chosen: Path) -> None:
    version = activate_rules(settings, chosen, quiet)
    active = read_pack(settings.pack_file)
    assert (active.version, [plan.title for plan in active.detections]) == (version, ["Log-in failed"])
    assert active.registry() == BANKS, "members are the stack's, not the file's"


def test_chosen_rules_stay_chosen_until_the_stacks_own_are_wanted(settings: StackSettings, chosen: Path) -> None:
    version = activate_rules(settings, chosen, quiet)
    chosen.unlink()
    assert renew_rules(settings, quiet) == version
    activate_rules(settings, None, quiet)
    assert pinned_pack(settings) is None
    assert len(read_pack(settings.pack_file).detections) > 1


def test_a_running_job_takes_the_pack(settings: StackSettings, job: Job, chosen: Path) -> None:
    activate_rules(settings, None, quiet)
    version = activate_rules(settings, chosen, quiet)
    assert read_pack(settings.pack_file).version == version


def test_a_pack_that_a_worker_refuses_changes_nothing(settings: StackSettings, job: Job, chosen: Path) -> None:
    job.keeps = activate_rules(settings, None, quiet)
    job.refuses = "a regular expression does not compile"
    with pytest.raises(ConfigError, match="a regular expression does not compile"):
        activate_rules(settings, chosen, quiet)
    assert read_pack(settings.pack_file).version == job.keeps
    assert pinned_pack(settings) is None


def test_workers_that_do_not_answer_are_named_with_what_they_use(
    settings: StackSettings, job: Job, chosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_pack, "_TAKEN_SECONDS", 0.1)
    monkeypatch.setattr(rule_pack, "read_reports", quiet)
    with pytest.raises(ConfigError, match=r"not all workers took it within .*; got no report"):
        put_in_force(settings, read_pack(chosen))


def test_where_no_member_can_send_yet_nobody_is_waited_for(
    settings: StackSettings, job: Job, chosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.partitions = 0
    monkeypatch.setattr(rule_pack, "read_reports", pytest.fail)
    pack = read_pack(chosen)
    assert "in force" in put_in_force(settings, pack)
    assert read_pack(settings.pack_file).version == pack.version


def test_the_pack_in_force_is_not_written_again(settings: StackSettings, job: Job, chosen: Path) -> None:
    pack: RulePack = read_pack(chosen)
    put_in_force(settings, pack)
    before = settings.pack_file.stat().st_ino
    assert "was in force" in put_in_force(settings, pack)
    assert settings.pack_file.stat().st_ino == before


def test_a_file_that_is_no_pack_is_refused_before_anything_is_changed(settings: StackSettings, chosen: Path) -> None:
    version = activate_rules(settings, chosen, quiet)
    chosen.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="not a rule pack"):
        activate_rules(settings, chosen, quiet)
    assert renew_rules(settings, quiet) == version
