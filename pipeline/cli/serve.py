"""`jsoc serve`: run one of the centre's long-lived processes in the foreground."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click
import structlog

from connectors.settings import load_settings

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="YAML file; `jsoc up` writes one for each process."
)


@click.group()
def serve() -> None:
    """Run one of the centre's processes in the foreground; SIGTERM ends it cleanly.

    `jsoc up` starts these itself; use them under systemd or in a container.

    \b
    Example:
      jsoc serve indexer --config /etc/jointsoc/indexer.yml
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


@serve.command()
@CONFIG
def clock(config: Path) -> None:
    """Write the centre's tick into every member topic, so that a quiet member holds nobody up.

    \b
    Example:
      jsoc serve clock --config clock.yml
    """
    from connectors.clock import ClockSettings, run_clock

    run_clock(load_settings(config, ClockSettings), _stop_on_signal())


@serve.command()
@CONFIG
def indexer(config: Path) -> None:
    """Index alerts from Kafka into Elasticsearch; offsets are committed once they are stored.

    \b
    Example:
      jsoc serve indexer --config indexer.yml
    """
    from connectors.indexer import IndexerSettings, run_indexer

    run_indexer(load_settings(config, IndexerSettings), _stop_on_signal())


@serve.command()
@CONFIG
def dashboard(config: Path) -> None:
    """Serve the analysts' dashboard.

    \b
    Example:
      jsoc serve dashboard --config dashboard.yml
    """
    from dashboard.app import run_dashboard
    from dashboard.settings import DashboardSettings

    run_dashboard(load_settings(config, DashboardSettings))


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
