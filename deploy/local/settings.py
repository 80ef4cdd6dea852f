"""Where the one-machine stack lives: its folders, its ports, and how many TaskManagers it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT_BASE: Final = 19000
MAX_TASKMANAGERS: Final = 8
DEFAULT_LATENESS: Final = 3600
DEFAULT_TICK: Final = 10
AUDIENCES: Final = ("members", "shared")

_UNBEARABLE: Final = frozenset(",;:*?\"'\\$#%&|<>()[]{}!`")

_PORT_OFFSETS: Final = {
    "dashboard": 80,
    "flink-rest": 81,
    "kafka": 92,
    "kafka-controller": 93,
    "kafka-internal": 94,
    "jobmanager-rpc": 123,
    "jobmanager-blob": 124,
    "jobmanager-metrics": 125,
    "elasticsearch": 200,
    "elasticsearch-transport": 300,
}
_TASKMANAGER_PORTS: Final = {"data": 140, "metrics": 150}
"""Offset of the first TaskManager's ports; the others follow one by one."""


@dataclass(frozen=True, slots=True)
class StackSettings:
    """One stack. Two stacks with different homes and port bases live side by side.

    Attributes:
        home: everything the stack writes, except the servers' programs.
        jvm_home: the servers' programs, fetched by `jsoc setup`; can be shared between stacks.
        port_base: every port is this plus a fixed offset.
        taskmanagers: number of Flink TaskManager processes, one slot each; also the job's parallelism.
        rules: rule folders beside our own, a SigmaHQ checkout for instance.
        lateness: seconds that an event may come late and still be correlated.
        tick: seconds between two ticks of the centre's clock.
        audiences: for whom the indexer keeps indices of their own beside the centre: `members`, `shared`.
    """

    home: Path
    jvm_home: Path
    port_base: int = DEFAULT_PORT_BASE
    taskmanagers: int = 1
    rules: tuple[Path, ...] = ()
    lateness: int = DEFAULT_LATENESS
    tick: int = DEFAULT_TICK
    audiences: tuple[str, ...] = ()

    def port(self, name: str) -> int:
        """The port of a listener, by name: `kafka`, `elasticsearch`, `flink-rest`, `dashboard`..."""
        return self.port_base + _PORT_OFFSETS[name]

    def taskmanager_port(self, kind: str, number: int) -> int:
        """The port of TaskManager `number` (from 1); kind is `data` or `metrics`."""
        return self.port_base + _TASKMANAGER_PORTS[kind] + number - 1

    @property
    def etc(self) -> Path:
        """Configuration files that `up` writes."""
        return self.home / "etc"

    @property
    def secrets(self) -> Path:
        """Passwords and private keys; mode 0700."""
        return self.home / "secrets"

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """What `up` started: one small record for each process."""
        return self.home / "run"

    @property
    def members_file(self) -> Path:
        """The member registry."""
        return self.etc / "members.yml"

    @property
    def pack_file(self) -> Path:
        """The compiled rules the job reads."""
        return self.etc / "rules.pack"

    @property
    def pinned_pack_file(self) -> Path:
        """A pack whose rules are used instead of the rule folders, if somebody chose one."""
        return self.etc / "pinned.pack"

    @property
    def kafka_address(self) -> str:
        """Where clients reach the broker."""
        return f"{LOOPBACK}:{self.port('kafka')}"

    @property
    def elasticsearch_url(self) -> str:
        """Where clients reach Elasticsearch."""
        return f"https://{LOOPBACK}:{self.port('elasticsearch')}"

    @property
    def flink_url(self) -> str:
        """Flink's REST interface; unauthenticated, therefore on loopback and without upload or cancel."""
        return f"http://{LOOPBACK}:{self.port('flink-rest')}"

    @property
    def dashboard_url(self) -> str:
        """The analysts' page."""
        return f"http://{LOOPBACK}:{self.port('dashboard')}"

    def save(self) -> None:
        """Remember ports and sizes, so that the next command finds the same stack."""
        self.etc.mkdir(parents=True, exist_ok=True)
        values = {
            "port_base": self.port_base,
            "taskmanagers": self.taskmanagers,
            "rules": [str(path) for path in self.rules],
            "lateness": self.lateness,
            "tick": self.tick,
            "audiences": list(self.audiences),
        }
        draft = self._saved.with_suffix(".tmp")
        draft.write_text(yaml.safe_dump(values), encoding="utf-8")
        draft.replace(self._saved)

    @property
    def _saved(self) -> Path:
        return self.etc / "stack.yml"


def project_root() -> Path:
    """The folder that holds `deploy/`, `pipeline/` and `rules/`."""
    return Path(__file__).resolve().parents[2]


def load_stack_settings(environ: Mapping[str, str] | None = None, *, taskmanagers: int | None = None) -> StackSettings:
    """The stack this shell means: the argument, else the environment, else what `up` saved, else defaults.

    Reads JSOC_HOME, JSOC_JVM_HOME, JSOC_PORT_BASE, JSOC_TASKMANAGERS, JSOC_RULES (folders, separated by colons),
    JSOC_LATENESS and JSOC_TICK (seconds), JSOC_AUDIENCES (words, separated by commas).

    Raises:
        ConfigError: a number that is not one, or out of range; an audience that there is not.
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("JSOC_HOME") or project_root() / ".jointsoc").expanduser().resolve()
    jvm_home = Path(environ.get("JSOC_JVM_HOME") or home / "jvm").expanduser().resolve()
    for name, folder in (("JSOC_HOME", home), ("JSOC_JVM_HOME", jvm_home)):
        _check_folder(name, folder)
    saved = _read_saved(home / "etc" / "stack.yml")
    rules = environ["JSOC_RULES"].split(os.pathsep) if environ.get("JSOC_RULES") else saved.rules
    return StackSettings(
        home,
        jvm_home,
        port_base=_number(environ, "JSOC_PORT_BASE", saved.port_base, 1024, 65_000),
        taskmanagers=taskmanagers or _number(environ, "JSOC_TASKMANAGERS", saved.taskmanagers, 1, MAX_TASKMANAGERS),
        rules=tuple(Path(path).expanduser().resolve() for path in rules),
        lateness=_number(environ, "JSOC_LATENESS", saved.lateness, 0, 7 * 86_400),
        tick=_number(environ, "JSOC_TICK", saved.tick, 1, 3600),
        audiences=_audiences(environ, saved.audiences),
    )


def _check_folder(name: str, folder: Path) -> None:
    """The servers' own scripts, class paths and lists split a path at such characters."""
    odd = sorted({char for char in str(folder) if char.isspace() or char in _UNBEARABLE})
    if odd:
        raise ConfigError(
            name,
            f"the path holds {' '.join(map(repr, odd))}, which Kafka, Flink or Elasticsearch cannot bear",
            got=str(folder),
            hint=f"set {name} to a plain path, or move the project",
        )


class _Saved(BaseModel):
    """`stack.yml`."""

    model_config = ConfigDict(extra="forbid")

    port_base: int = DEFAULT_PORT_BASE
    taskmanagers: int = 1
    rules: list[str] = []
    lateness: int = DEFAULT_LATENESS
    tick: int = DEFAULT_TICK
    audiences: list[str] = []


def _read_saved(path: Path) -> _Saved:
    try:
        return _Saved.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return _Saved()
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(str(path), "not what `jsoc up` wrote", hint=f"rm {path}, then jsoc up") from error


def _number(environ: Mapping[str, str], name: str, fallback: int, least: int, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return fallback
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(name, "not a number in its range", got=text, expected=f"{least} to {most}")
    return int(text)


def _audiences(environ: Mapping[str, str], fallback: list[str]) -> tuple[str, ...]:
    text = environ.get("JSOC_AUDIENCES")
    wanted = fallback if text is None else [word.strip() for word in text.split(",") if word.strip()]
    if not set(wanted) <= set(AUDIENCES):
        raise ConfigError("JSOC_AUDIENCES", "no such audience", got=text, expected=", ".join(AUDIENCES))
    return tuple(sorted(set(wanted)))
