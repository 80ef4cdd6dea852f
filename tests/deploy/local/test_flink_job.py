from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.local.flink_cluster import checkpoints, savepoints
from deploy.local.flink_job import Job, find_job, job_is_ready, newest_restore_point, restarts_of, stop_job
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError, ConnectionError_

NOW = time.time()
Answers = dict[str, Any]


@pytest.fixture
def flink(settings: StackSettings) -> Iterator[Answers]:
    """A stand-in for Flink's REST interface: path -> answer, or a function that makes one."""
    answers: Answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            self.send_response(200 if answer is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer() if callable(answer) else answer).encode())

        def do_POST(self) -> None:
            answers["posted"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, settings.port("flink-rest")), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers
    server.shutdown()
    server.server_close()


def overview(*jobs: tuple[str, str, float]) -> dict[str, Any]:
    entries = [
        {"jid": jid, "name": "jointsoc", "state": state, "start-time": int(started * 1000)}
        for jid, state, started in jobs
    ]
    return {"jobs": [*entries, {"jid": "x", "name": "somebody else's", "state": "RUNNING", "start-time": 1}]}


def checkpoint(folder: Path, age: float) -> Path:
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(b"x")
    os.utime(folder / "_metadata", (NOW - age, NOW - age))
    return folder


def test_the_living_job_is_found_before_later_ones_that_ended(settings: StackSettings, flink: Answers) -> None:
    flink["/jobs/overview"] = overview(("a", "RUNNING", 100.0), ("b", "FINISHED", 200.0))
    assert find_job(settings) == Job("a", "RUNNING", 100.0)


def test_without_a_job_of_ours_there_is_none(settings: StackSettings, flink: Answers) -> None:
    flink["/jobs/overview"] = overview()
    assert find_job(settings) is None


def test_a_jobmanager_that_is_away_is_a_connection_error(settings: StackSettings) -> None:
    with pytest.raises(ConnectionError_, match="does not answer"):
        find_job(settings)


@pytest.mark.parametrize(("age", "ready"), [(-1.0, True), (1.0, False)])
def test_the_job_is_ready_once_a_checkpoint_that_began_later_is_complete(
    settings: StackSettings, flink: Answers, age: float, ready: bool
) -> None:
    flink["/jobs/overview"] = overview(("a", "RUNNING", NOW))
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": []}}
    flink["/jobs/a/checkpoints"] = {"latest": {"completed": {"trigger_timestamp": int((NOW - age) * 1000)}}}
    assert job_is_ready(settings, NOW) is ready


def test_a_job_that_fails_again_and_again_is_given_up_with_the_innermost_cause(
    settings: StackSettings, flink: Answers
) -> None:
    trace = "org.apache.Outer: x\n\tat y\nCaused by: java.Wrong: pack is damaged\n\tat z"
    entries = [{"timestamp": int(NOW * 1000) + number, "stacktrace": trace} for number in range(4)]
    flink["/jobs/overview"] = overview(("a", "RESTARTING", NOW))
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": entries}}
    with pytest.raises(ConfigError, match=r"java\.Wrong: pack is damaged"):
        job_is_ready(settings, NOW)


def test_an_exception_in_a_python_worker_is_told_in_its_own_words(settings: StackSettings, flink: Answers) -> None:
    trace = (
        "org.apache.Outer: x\n\tat y\nCaused by: java.lang.RuntimeException: Error received from SDK harness for"
        " instruction 4: Traceback (most recent call last):\n"
        '  File "sdk_worker.py", line 311, in _execute\n    response = task()\n'
        "schemas.errors.ConfigError: state of the job: written in another format; got 2; expected 1\n\n"
        "\tat org.apache.beam.Client.onNext\n\tat java.lang.Thread.run\n"
    )
    flink["/jobs/overview"] = overview(("a", "FAILED", NOW))
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": [{"timestamp": 1, "stacktrace": trace}]}}
    with pytest.raises(
        ConfigError, match=r"got schemas\.errors\.ConfigError: state of the job: written in another format"
    ):
        job_is_ready(settings, NOW)


@pytest.mark.parametrize(
    ("failed", "completed", "told"),
    [((), None, ""), ((50,), 60, ""), ((50, 70), 60, "java.Wrong: x"), ((50,), None, "java.Wrong: x")],
)
def test_a_job_has_recovered_once_a_checkpoint_is_newer_than_its_last_failure(
    settings: StackSettings, flink: Answers, failed: tuple[int, ...], completed: int | None, told: str
) -> None:
    entries = [{"timestamp": each, "stacktrace": "Caused by: java.Wrong: x"} for each in failed]
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": entries}}
    flink["/jobs/a/metrics?get=numRestarts"] = [{"id": "numRestarts", "value": "7"}] if failed else []
    flink["/jobs/a/checkpoints"] = {"latest": {"completed": {"trigger_timestamp": completed} if completed else None}}
    assert restarts_of(settings, Job("a", "RUNNING", 1.0)) == (7 if failed else 0, told)


def test_failures_before_the_waiting_began_are_history(settings: StackSettings, flink: Answers) -> None:
    entries = [{"timestamp": int(NOW * 1000) - 5000, "stacktrace": "x"}] * 9
    flink["/jobs/overview"] = overview(("a", "RESTARTING", NOW - 60))
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": entries}}
    flink["/jobs/a/checkpoints"] = {"latest": {"completed": None}}
    assert job_is_ready(settings, NOW) is False


def test_a_job_that_failed_for_good_is_an_error(settings: StackSettings, flink: Answers) -> None:
    flink["/jobs/overview"] = overview(("a", "FAILED", NOW))
    flink["/jobs/a/exceptions"] = {"exceptionHistory": {"entries": []}}
    with pytest.raises(ConfigError, match="FAILED"):
        job_is_ready(settings, NOW)


def stopping(flink: Answers, operation: dict[str, Any]) -> None:
    states: Iterator[str] = iter(["RUNNING"])
    flink["/jobs/overview"] = lambda: overview(("a", next(states, "FINISHED"), NOW))
    flink["/jobs/a/stop"] = {"request-id": "t"}
    flink["/jobs/a/savepoints/t"] = {"status": {"id": "COMPLETED"}, "operation": operation}


def test_stopping_asks_for_a_savepoint_in_our_folder(settings: StackSettings, flink: Answers) -> None:
    stopping(flink, {"location": "file:/x"})
    said: list[str] = []
    assert stop_job(settings, said.append)
    assert flink["posted"]["targetDirectory"] == savepoints(settings).as_uri()
    assert said == []


def test_a_savepoint_that_failed_is_told_and_the_checkpoint_has_to_do(settings: StackSettings, flink: Answers) -> None:
    stopping(flink, {"failure-cause": {"class": "x"}})
    said: list[str] = []
    assert not stop_job(settings, said.append)
    assert "last checkpoint" in said[0]


def test_a_savepoint_that_takes_too_long_is_given_up(
    settings: StackSettings, flink: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.flink_job._STOP_SECONDS", 0.2)
    stopping(flink, {})
    flink["/jobs/a/savepoints/t"] = {"status": {"id": "IN_PROGRESS"}}
    said: list[str] = []
    assert not stop_job(settings, said.append)
    assert "no savepoint" in said[0]


def test_a_job_that_does_not_end_after_its_savepoint_is_not_taken_for_stopped(
    settings: StackSettings, flink: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.flink_job._STOP_SECONDS", 0.2)
    stopping(flink, {"location": "file:/x"})
    flink["/jobs/overview"] = overview(("a", "RUNNING", NOW))
    said: list[str] = []
    assert not stop_job(settings, said.append)
    assert "has not ended" in said[0]


def test_a_jobmanager_that_is_away_does_not_keep_down_from_going_on(settings: StackSettings) -> None:
    said: list[str] = []
    assert not stop_job(settings, said.append)
    assert "last checkpoint" in said[0]


def test_the_newest_complete_state_is_continued_be_it_checkpoint_or_savepoint(settings: StackSettings) -> None:
    assert newest_restore_point(settings) is None
    checkpoint(checkpoints(settings) / "job-1" / "chk-9", age=30)
    saved = checkpoint(savepoints(settings) / "savepoint-1", age=20)
    assert newest_restore_point(settings) == saved
    later = checkpoint(checkpoints(settings) / "job-2" / "chk-2", age=10)
    assert newest_restore_point(settings) == later


def test_a_checkpoint_that_was_not_completed_is_never_continued(settings: StackSettings) -> None:
    whole = checkpoint(checkpoints(settings) / "job-1" / "chk-1", age=30)
    (checkpoints(settings) / "job-1" / "chk-2").mkdir()
    assert newest_restore_point(settings) == whole
