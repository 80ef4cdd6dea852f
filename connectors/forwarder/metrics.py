"""The forwarder's counters in Prometheus' text format, and the address where they are served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from connectors.sources.listening import cannot_listen, host_and_port
from schemas.health import Heartbeat, InputCounters
from schemas.times import from_rfc3339

_PREFIX: Final = "jointsoc_forwarder"
_COUNTERS: Final[dict[str, tuple[str, Callable[[InputCounters], int]]]] = {
    "lines_read_total": ("Lines read.", lambda one: one.read),
    "events_sent_total": ("Events sent.", lambda one: one.sent),
    "events_acknowledged_total": ("Events the broker has acknowledged.", lambda one: one.acknowledged),
    "lines_dropped_total": ("Lines the mapping says not to send.", lambda one: one.dropped),
    "lines_dead_total": ("Lines in the local dead-letter file.", lambda one: one.dead),
    "lines_lost_total": ("Datagrams that could not be taken.", lambda one: one.lost),
    "spool_damaged_bytes_total": ("Bytes of the spool that could not be read back.", lambda one: one.spool_damaged),
}
_GAUGES: Final[dict[str, tuple[str, Callable[[InputCounters], int]]]] = {
    "spool_bytes": ("Bytes that wait on the disk.", lambda one: one.spool_bytes),
    "input_trouble": ("1 while nothing can be read.", lambda one: int(bool(one.trouble))),
}


def render(beat: Heartbeat) -> str:
    """One heartbeat as Prometheus reads it."""
    return "\n".join(_lines(beat)) + "\n"


class MetricsServer:
    """Serves the newest counters.

    Args:
        listen: `host:port`.
        newest: gives the heartbeat as of now.

    Raises:
        ConfigError: the address cannot be had.
    """

    def __init__(self, listen: str, newest: Callable[[], Heartbeat]) -> None:
        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "jointsoc", ""
            timeout = 10

            def do_GET(self) -> None:
                found = self.path.split("?", 1)[0] == "/metrics"
                body = render(newest()).encode() if found else b"see /metrics\n"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Scrapes are not worth a line."""

        try:
            self._server = ThreadingHTTPServer(host_and_port(listen), Handler)
        except OSError as error:
            raise cannot_listen(listen, error) from error
        self._server.daemon_threads = True
        self.address = self._server.server_address
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.2), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _lines(beat: Heartbeat) -> Iterator[str]:
    for kind, table in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for name, (told, value) in table.items():
            yield from _head(name, kind, told)
            for one in beat.inputs:
                yield f'{_PREFIX}_{name}{{input="{one.name}"}} {value(one)}'
    yield from _head("waiting_bytes", "gauge", "Bytes read and not yet acknowledged, in memory and on the disk.")
    yield f"{_PREFIX}_waiting_bytes {beat.spool_bytes}"
    yield from _head("spool_oldest_timestamp_seconds", "gauge", "When the oldest line that waits came.")
    for one in beat.inputs:
        if one.spool_oldest:
            oldest = from_rfc3339(one.spool_oldest) / 1000
            yield f'{_PREFIX}_spool_oldest_timestamp_seconds{{input="{one.name}"}} {oldest}'
    yield from _head("certificate_expires_timestamp_seconds", "gauge", "Until when a certificate is valid.")
    for path, until in beat.certificates.items():
        yield f'{_PREFIX}_certificate_expires_timestamp_seconds{{file="{_escaped(path)}"}} {from_rfc3339(until) / 1000}'
    if beat.clock_offset is not None:
        yield from _head("clock_offset_seconds", "gauge", "How far this clock is ahead of the broker's.")
        yield f"{_PREFIX}_clock_offset_seconds {beat.clock_offset / 1000}"
    yield from _head("info", "gauge", "Version and hash of the policy.")
    yield f'{_PREFIX}_info{{member="{beat.member}",version="{_escaped(beat.agent)}",policy="{beat.policy}"}} 1'


def _head(name: str, kind: str, told: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {told}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
