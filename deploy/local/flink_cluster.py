"""Flink: a JobManager and TaskManagers as plain JVM processes, from the pip package, which stays untouched.

The JVMs are started directly, not through Flink's shell scripts: those start another JVM each time to divide the
memory, and hide the real process behind pid files. The division is therefore spelled out in `_MEMORY`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Final

import yaml

from deploy.local.flink_loopback import loopback_classes
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError

MAX_PARALLELISM: Final = 128
_CHECKPOINT_INTERVAL: Final = "1 s"

_MEMORY: Final = {
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.task.heap.size": "320m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.managed.size": "384m",  # RocksDB
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}
_TASKMANAGER_JVM: Final = ("-Xms448m", "-Xmx448m", "-XX:MaxDirectMemorySize=192m", "-XX:MaxMetaspaceSize=256m")
"""Heap = framework + task; direct = framework and task off-heap + network."""
_JOBMANAGER_JVM: Final = ("-Xms256m", "-Xmx448m", "-XX:MaxMetaspaceSize=256m", "-XX:TieredStopAtLevel=1")
"""It only coordinates: without the slow compiler it starts with less work."""

_LOG4J: Final = """\
status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
# Several lines for each checkpoint each second say little; what goes wrong is a warning.
logger.checkpoints.name = org.apache.flink.runtime.checkpoint
logger.checkpoints.level = warn
logger.coordinator.name = org.apache.flink.runtime.source.coordinator
logger.coordinator.level = warn
logger.connector.name = org.apache.flink.connector.kafka
logger.connector.level = warn
logger.kafka.name = org.apache.flink.kafka.shaded.org.apache.kafka
logger.kafka.level = warn
# The sink registers a metric twice at every checkpoint, and warns each time.
logger.metrics.name = org.apache.flink.metrics.MetricGroup
logger.metrics.level = error
"""


def folder(settings: StackSettings) -> Path:
    """Configuration, checkpoints, savepoints and temporary files."""
    return settings.home / "flink"


def checkpoints(settings: StackSettings) -> Path:
    """Where the job's checkpoints are: `<job id>/chk-<n>/_metadata`."""
    return folder(settings) / "checkpoints"


def savepoints(settings: StackSettings) -> Path:
    """Where `down` leaves a savepoint: `savepoint-<...>/_metadata`."""
    return folder(settings) / "savepoints"


def prepare_flink(settings: StackSettings) -> None:
    """Write the configuration of all Flink processes."""
    conf = folder(settings) / "conf"
    for path in (conf, checkpoints(settings), savepoints(settings)):
        path.mkdir(parents=True, exist_ok=True)
    (conf / "log4j.properties").write_text(_LOG4J, encoding="utf-8")
    (conf / "config.yaml").write_text(yaml.safe_dump(_configuration(settings)), encoding="utf-8")


def jobmanager_command(settings: StackSettings, java_home: Path) -> list[str]:
    """The command line of the JobManager."""
    _fresh_tmp(settings, "jobmanager")
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    words = flink_java(settings, java_home, "jobmanager", _JOBMANAGER_JVM)
    values = {
        "metrics.internal.query-service.port": settings.port("jobmanager-metrics"),
        "io.tmp.dirs": _tmp(settings, "jobmanager"),
    }
    return [*words, main, "--configDir", str(folder(settings) / "conf"), *_dynamic(values)]


def taskmanager_command(settings: StackSettings, java_home: Path, number: int) -> list[str]:
    """The command line of TaskManager `number`, counted from 1."""
    name = f"taskmanager-{number}"
    _fresh_tmp(settings, name)
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    values = {
        "taskmanager.resource-id": name,
        "taskmanager.rpc.port": 0,  # another one at each start (decision 83)
        "taskmanager.data.port": settings.taskmanager_port("data", number),
        "metrics.internal.query-service.port": settings.taskmanager_port("metrics", number),
        "io.tmp.dirs": _tmp(settings, name),
    }
    before = loopback_classes(settings.jvm_home, java_home, _flink_python())
    words = flink_java(settings, java_home, name, _TASKMANAGER_JVM, before=f"{before}:")
    return [*words, main, "--configDir", str(folder(settings) / "conf"), *_dynamic(values)]


def flink_environment(settings: StackSettings, java_home: Path) -> dict[str, str]:
    """What Flink and its Python workers look for; the workers must find this very virtual environment."""
    home = pyflink_folder()
    return {
        "JAVA_HOME": str(java_home),
        "FLINK_HOME": str(home),
        "FLINK_CONF_DIR": str(folder(settings) / "conf"),
        "FLINK_LIB_DIR": str(home / "lib"),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_PLUGINS_DIR": str(home / "plugins"),
        "FLINK_BIN_DIR": str(home / "bin"),
        "FLINK_LOG_DIR": str(settings.logs),
    }


def flink_java(
    settings: StackSettings, java_home: Path, name: str, options: tuple[str, ...], *, before: str = ""
) -> list[str]:
    """`java` with Flink's classes: the pip package's, the Kafka connector and the Python runtime.

    Args:
        settings: the stack.
        java_home: the JDK.
        name: the process, which gets a folder for temporary files of its own.
        options: of the JVM.
        before: what comes first on the class path.
    """
    tmp = _tmp(settings, name)
    tmp.mkdir(parents=True, exist_ok=True)
    home = pyflink_folder()
    connector = settings.jvm_home / "flink-connector-kafka"
    return [
        str(java_home / "bin" / "java"),
        *options,
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Djava.io.tmpdir={tmp}",
        f"-Dlog4j.configurationFile=file:{folder(settings) / 'conf' / 'log4j.properties'}",
        *_module_options(home),
        "-cp",
        # flink-python must be on the servers' own class path (FLINK-37727).
        f"{before}{home}/lib/*:{connector}/*:{_flink_python()}",
    ]


def pyflink_folder() -> Path:
    """Where the pip package is.

    Raises:
        ConfigError: it is not installed.
    """
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise ConfigError("apache-flink", "not installed in this Python", got=sys.executable, hint="make setup")
    return Path(spec.origin).parent


def _flink_python() -> Path:
    return next((pyflink_folder() / "opt").glob("flink-python-*.jar"))


def _module_options(home: Path) -> list[str]:
    """The long list of `--add-opens` that Flink needs, from its own shipped configuration."""
    shipped = yaml.safe_load((home / "conf" / "config.yaml").read_text(encoding="utf-8"))
    options: str = shipped["env"]["java"]["opts"]["all"]
    return options.split()


def _configuration(settings: StackSettings) -> dict[str, object]:
    return {
        "jobmanager.bind-host": LOOPBACK,
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": settings.port("jobmanager-rpc"),
        "blob.server.port": settings.port("jobmanager-blob"),
        "jobmanager.execution.failover-strategy": "region",
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.host": LOOPBACK,
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1.0,
        "taskmanager.registration.timeout": "1 d",  # a TaskManager outlives its JobManager's restart
        **_MEMORY,
        # REST has no users: loopback only, no upload of programs, no cancel button.
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": settings.port("flink-rest"),
        "web.submit.enable": False,
        "web.cancel.enable": False,
        # A killed process is noticed at the second beat that cannot be delivered; the timeout is for one that hangs,
        # and a machine that is short of breath must not be taken for that.
        "heartbeat.interval": "2 s",
        "heartbeat.timeout": "30 s",
        "parallelism.default": settings.taskmanagers,
        "pipeline.max-parallelism": MAX_PARALLELISM,
        "state.backend.type": "rocksdb",
        "execution.checkpointing.interval": _CHECKPOINT_INTERVAL,
        "execution.checkpointing.dir": checkpoints(settings).as_uri(),
        "execution.checkpointing.savepoint-dir": savepoints(settings).as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": 3,
        "execution.checkpointing.incremental": True,
        # A broker that restarts makes a checkpoint or two fail; starting the Python workers anew costs more.
        "execution.checkpointing.tolerable-failed-checkpoints": 10,
        # Never give up: a fixed number of attempts is used up while a TaskManager is away.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "5 s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "1 min",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }


def _dynamic(values: dict[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in ("-D", f"{key}={value}")]


def _tmp(settings: StackSettings, name: str) -> Path:
    return folder(settings) / "tmp" / name


def _fresh_tmp(settings: StackSettings, name: str) -> None:
    """A killed process leaves its temporary files behind; the next one of that name removes them."""
    shutil.rmtree(_tmp(settings, name), ignore_errors=True)
