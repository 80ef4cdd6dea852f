"""A rule pack is replaced while events flow: noticed, taken between two batches, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.active_pack import LOOK_SECONDS, REPEAT_SECONDS, PackFile, Stage, kept_file
from pipeline.rulepack import RulePack, build_pack
from schemas.errors import ConfigError
from schemas.member import Member, MemberRegistry
from schemas.times import from_rfc3339

PROBES = Path(__file__).parents[2] / "e2e" / "rules" / "probe.yml"
START = from_rfc3339("2026-11-23T10:00:00.000Z")
REGISTRY = MemberRegistry(members=tuple(Member(id=f"bank-{each}", name=each) for each in "abc"))
MORE = """
title: More
id: 5b1f4e0a-6a7e-4d55-9a5e-0000000000aa
status: test
logsource: {product: jointsoc, service: e2e}
detection: {selection: {event.action: added}, condition: selection}
level: low
federation: {alert: true}
"""


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def small() -> RulePack:
    return build_pack([PROBES], REGISTRY)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> RulePack:
    more = tmp_path_factory.mktemp("rules") / "more.yml"
    more.write_text(MORE)
    return build_pack([PROBES, more], REGISTRY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, small: RulePack) -> Path:
    small.write(tmp_path / "rules.pack")
    return tmp_path / "rules.pack"


class Worker:
    """Adopts what it is given, and remembers it."""

    def __init__(self, file: Path, stage: Stage, clock: Clock) -> None:
        self.pack: RulePack | None = None
        self.packs = PackFile(file, stage, 3, clock)
        self.packs.begin(self.adopt)

    def adopt(self, pack: RulePack) -> None:
        self.pack = pack

    def look(self, wanted: str = "") -> list[tuple[str, bool]]:
        return [(report.version, bool(report.refused)) for report in self.packs.look(self.adopt, wanted)]


def replace(file: Path, content: bytes) -> None:
    file.with_name("draft").write_bytes(content)
    file.with_name("draft").replace(file)


def test_the_first_look_tells_what_is_in_force(file: Path, small: RulePack, clock: Clock) -> None:
    worker = Worker(file, "detect", clock)
    (report,) = worker.packs.look(worker.adopt)
    assert (report.worker, report.version, report.refused) == ("detect/3", small.version, "")
    assert (report.detections, report.correlations) == (len(small.detections), len(small.correlations))
    assert worker.look() == []


def test_what_is_in_force_is_told_again_for_those_who_ask_later(file: Path, small: RulePack, clock: Clock) -> None:
    worker = Worker(file, "detect", clock)
    worker.look()
    clock.now += REPEAT_SECONDS / 2
    assert worker.look() == []
    clock.now += REPEAT_SECONDS / 2
    assert worker.look() == [(small.version, False)]


def test_another_pack_is_in_force_at_the_next_look(file: Path, large: RulePack, clock: Clock) -> None:
    worker = Worker(file, "detect", clock)
    worker.look()
    large.write(file)
    assert worker.look() == [], "it looks once a second, not at every batch"
    clock.now += LOOK_SECONDS
    assert worker.look() == [(large.version, False)]
    assert worker.pack is not None
    assert worker.pack.version == large.version


def test_a_keyed_stage_waits_for_a_detect_stage_and_then_follows_at_once(
    file: Path, small: RulePack, large: RulePack, clock: Clock
) -> None:
    worker = Worker(file, "correlate", clock)
    worker.look()
    large.write(file)
    clock.now += LOOK_SECONDS
    assert worker.look(small.version) == []
    assert worker.look(large.version) == [(large.version, False)]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"jointsoc-pack 1\n0000\n\x80", b"jointsoc-pack 99\n"])
def test_a_file_that_is_no_pack_is_refused_once_and_the_old_one_stays(
    file: Path, small: RulePack, large: RulePack, clock: Clock, damage: bytes
) -> None:
    worker = Worker(file, "detect", clock)
    worker.look()
    replace(file, damage)
    clock.now += LOOK_SECONDS
    (report,) = worker.packs.look(worker.adopt)
    assert report.version == small.version
    assert str(file) in report.refused
    clock.now += LOOK_SECONDS
    assert worker.look() == []
    file.unlink()
    clock.now += LOOK_SECONDS
    assert worker.look() == []
    large.write(file)
    clock.now += LOOK_SECONDS
    assert worker.look() == [(large.version, False)]


def test_without_any_pack_there_is_nothing_to_go_on_with(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ConfigError, match="cannot read the rule pack"):
        Worker(tmp_path / "none.pack", "detect", clock)


def test_a_worker_that_starts_while_the_file_is_broken_goes_on_with_the_last_pack(
    file: Path, small: RulePack, clock: Clock
) -> None:
    Worker(file, "detect", clock)
    replace(file, b"nonsense")
    for stage in ("detect", "correlate"):
        assert Worker(file, stage, clock).look() == [(small.version, True)]


def test_where_the_last_pack_is_broken_too_the_file_itself_is_named(file: Path, clock: Clock) -> None:
    Worker(file, "detect", clock)
    for path in (file, kept_file(file)):
        replace(path, b"nonsense")
    with pytest.raises(ConfigError, match=r"rules\.pack: not a rule pack"):
        Worker(file, "detect", clock)


def test_a_folder_that_cannot_be_written_does_not_keep_a_worker_from_starting(
    file: Path, small: RulePack, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(RulePack, "write", fails)
    assert Worker(file, "detect", clock).look() == [(small.version, False)]
    assert not kept_file(file).exists()
