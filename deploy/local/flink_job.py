"""The one Flink job: submit it where it left off, watch it, stop it with a savepoint."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from deploy.local.configuration import config_file
from deploy.local.flink_cluster import checkpoints, flink_environment, flink_java, savepoints
from deploy.local.flink_rest import ask_flink
from deploy.local.processes import child_environment, log_file, open_log, stop_processes, tail
from deploy.local.settings import StackSettings, project_root
from schemas.errors import ConfigError, ConnectionError_, printable

JOB_NAME: Final = "jointsoc"
JOB_FILE: Final = "pipeline/jobs/federation_job.py"
SUBMITTER: Final = "job-submit"
_SUBMIT_SECONDS: Final = 180
_STOP_SECONDS: Final = 120
_TOO_MANY_FAILURES: Final = 4
_TRACEBACK: Final = "Traceback (most recent call last):"
_ENDED: Final = frozenset({"FINISHED", "FAILED", "CANCELED", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class Job:
    """The job as Flink reports it; `started` in seconds since 1970."""

    id: str
    state: str
    started: float

    @property
    def lives(self) -> bool:
        """Whether it runs or tries to."""
        return self.state not in _ENDED


def find_job(settings: StackSettings) -> Job | None:
    """The living job, else the latest that ended since the JobManager started.

    Raises:
        ConnectionError_: the JobManager does not answer.
    """
    jobs = [
        Job(entry["jid"], entry["state"], entry["start-time"] / 1000)
        for entry in ask_flink(settings, "/jobs/overview")["jobs"]
        if entry["name"] == JOB_NAME
    ]
    return max(jobs, key=lambda job: (job.lives, job.started), default=None)


def jobmanager_answers(settings: StackSettings) -> bool:
    """Whether the JobManager can be asked about jobs: its port answers some seconds earlier.

    Raises:
        ConnectionError_: not yet.
    """
    find_job(settings)
    return True


def submit_job(settings: StackSettings, java_home: Path) -> Job:
    """Submit the job from the newest checkpoint or savepoint, or fresh when there is none.

    Raises:
        ConfigError: Flink's client refuses; ends with its last words.
        ConnectionError_: the JobManager does not answer.
    """
    stop_processes(settings, SUBMITTER, grace=0)  # a killed `up` may have left one that would submit a second job
    living = find_job(settings)
    if living is not None and living.lives:
        return living
    restore = newest_restore_point(settings)
    job = run_job(settings, java_home, config_file(settings, "job"), restore)
    _forget_older_than(settings, restore, job)
    return job


def run_job(settings: StackSettings, java_home: Path, config: Path, restore: Path | None) -> Job:
    """Have Flink's client submit a job.

    Args:
        settings: the stack.
        java_home: the JDK.
        config: the job's configuration file.
        restore: the folder of the checkpoint or savepoint that it goes on from, if any.

    Raises:
        ConfigError, ConnectionError_: as `submit_job`.
    """
    command = flink_java(settings, java_home, SUBMITTER, ("-Xmx384m", "-XX:TieredStopAtLevel=1"))
    command += ["org.apache.flink.client.cli.CliFrontend", "run", "-d"]
    if restore is not None:
        command += ["-s", restore.as_uri()]
    command += ["-py", str(project_root() / JOB_FILE), "--config", str(config)]
    environment = child_environment(settings, SUBMITTER) | flink_environment(settings, java_home)
    with open_log(settings, SUBMITTER) as log:
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=project_root(),
                timeout=_SUBMIT_SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            stop_processes(settings, SUBMITTER, grace=0)
            raise _submit_error(settings, f"not done after {_SUBMIT_SECONDS} s") from error
    job = find_job(settings)
    if done.returncode != 0 or job is None:
        raise _submit_error(settings, "Flink's client failed")
    return job


def job_is_ready(settings: StackSettings, since: float) -> bool:
    """Whether it completed a checkpoint begun after `since` (seconds since 1970): all operators and workers answer.

    Raises:
        ConfigError: it ended, or failed again and again since then; names the cause.
    """
    job = find_job(settings)
    if job is None:
        return False
    begun = int(since * 1000)
    failures = [failure for failure in _failures(settings, job) if failure.get("timestamp", 0) >= begun]
    if job.lives and len(failures) < _TOO_MANY_FAILURES:
        latest = ask_flink(settings, f"/jobs/{job.id}/checkpoints").get("latest", {}).get("completed") or {}
        return job.state == "RUNNING" and latest.get("trigger_timestamp", 0) >= begun
    raise ConfigError(
        f"flink job {job.id}",
        f"does not run ({job.state})",
        got=_cause(failures or _failures(settings, job)),
        hint="jsoc logs taskmanager-1",
    )


def restarts_of(settings: StackSettings, job: Job) -> tuple[int, str]:
    """How often the job was restarted since it was submitted, and the cause if it has not recovered yet, else "".

    It has recovered once a checkpoint was completed after its last failure: a job that fails again and again runs in
    between, as Flink tells it.

    Raises:
        ConnectionError_: the JobManager does not answer.
    """
    failures = _failures(settings, job)
    counts = {entry["id"]: entry["value"] for entry in ask_flink(settings, f"/jobs/{job.id}/metrics?get=numRestarts")}
    number = counts.get("numRestarts", "")
    restarts = max(int(number) if number.isdecimal() else 0, len(failures))
    if not failures:
        return restarts, ""
    latest = ask_flink(settings, f"/jobs/{job.id}/checkpoints").get("latest", {}).get("completed") or {}
    recovered = latest.get("trigger_timestamp", 0) > max(failure.get("timestamp", 0) for failure in failures)
    return restarts, "" if recovered else _cause(failures)


def stop_job(settings: StackSettings, say: Callable[[str], None]) -> bool:
    """Stop the job with a savepoint; False when that was not possible and its last checkpoint has to do."""
    try:
        job = find_job(settings)
        if job is None or job.state == "FINISHED":
            return job is not None
        if job.state != "RUNNING":
            say(f"it is {job.state}: no savepoint; the next start continues from the last checkpoint")
            return False
        request = {"targetDirectory": savepoints(settings).as_uri(), "formatType": "CANONICAL", "drain": False}
        trigger = ask_flink(settings, f"/jobs/{job.id}/stop", request)["request-id"]
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            status = ask_flink(settings, f"/jobs/{job.id}/savepoints/{trigger}")
            if status["status"]["id"] == "COMPLETED":
                return _stopped(settings, job, status["operation"], say)
            time.sleep(0.1)
        say(f"no savepoint after {_STOP_SECONDS} s; the next start continues from the last checkpoint")
    except ConnectionError_:
        say("the job could not be asked for a savepoint; the next start continues from the last checkpoint")
    return False


def _stopped(settings: StackSettings, job: Job, operation: dict[str, Any], say: Callable[[str], None]) -> bool:
    if "failure-cause" in operation:
        say("the savepoint failed; the next start continues from the last checkpoint")
        return False
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        now = find_job(settings)
        if now is None or now.id != job.id or not now.lives:
            return True
        time.sleep(0.1)
    say(f"its savepoint is written, but it has not ended after {_STOP_SECONDS} s")
    return False


def newest_restore_point(settings: StackSettings) -> Path | None:
    """The folder of the newest complete checkpoint or savepoint: Flink writes `_metadata` last."""
    found = [*checkpoints(settings).glob("*/chk-*/_metadata"), *savepoints(settings).glob("*/_metadata")]
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.parent if newest is not None else None


def _forget_older_than(settings: StackSettings, restored: Path | None, job: Job) -> None:
    """Remove state that nothing needs any more: all but what the job was restored from, and its own."""
    keep = {checkpoints(settings) / job.id}
    if restored is not None:
        keep |= {restored, restored.parent}
    for path in (*checkpoints(settings).iterdir(), *savepoints(settings).iterdir()):
        if path not in keep:
            shutil.rmtree(path, ignore_errors=True)


def _failures(settings: StackSettings, job: Job) -> list[dict[str, Any]]:
    answer = ask_flink(settings, f"/jobs/{job.id}/exceptions")
    entries: list[dict[str, Any]] = answer.get("exceptionHistory", {}).get("entries", [])
    return entries


def _cause(failures: list[dict[str, Any]]) -> str:
    """The innermost cause of the latest failure, one line; of a Python worker, the exception it raised."""
    if not failures:
        return "no reason given"
    lines = str(failures[0].get("stacktrace", "")).splitlines()
    begun = [number for number, line in enumerate(lines) if line.endswith(_TRACEBACK)]
    if begun:
        raised = takewhile(lambda line: not line.startswith("\tat "), lines[begun[-1] + 1 :])
        told = [line for line in raised if line and not line[0].isspace()]
        if told:
            return printable(told[-1])
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return printable((causes[-1] if causes else next(iter(lines), "?")).removeprefix("Caused by: "))


def _submit_error(settings: StackSettings, what: str) -> ConfigError:
    log = log_file(settings, SUBMITTER)
    lines = tail(log, 400)
    causes = [line for line in lines if line.startswith(("Caused by: ", "org.apache.flink.client."))]
    words = causes[-1] if causes else next(iter(reversed([line for line in lines if line.strip()])), "")
    return ConfigError("flink run", what, got=printable(words), hint=f"jsoc logs {SUBMITTER}")
