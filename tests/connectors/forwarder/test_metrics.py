from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from connectors.forwarder.metrics import MetricsServer, render
from schemas.health import Heartbeat, InputCounters

BEAT = Heartbeat(
    timestamp="2026-11-23T02:00:00.000Z",
    member="kestrel-bank",
    agent="1.0",
    inputs=[InputCounters(name="web", read=7, lost=2, spool_bytes=10, spool_oldest="1970-01-01T00:01:00.000Z")],
    spool_bytes=12,
    certificates={'/a"b': "1970-01-01T00:00:05.000Z"},
    clock_offset=-1500,
)


def test_counters_are_in_the_form_prometheus_reads() -> None:
    text = render(BEAT)
    assert 'jointsoc_forwarder_lines_read_total{input="web"} 7' in text
    assert 'jointsoc_forwarder_lines_lost_total{input="web"} 2' in text
    assert "jointsoc_forwarder_waiting_bytes 12" in text
    assert 'jointsoc_forwarder_spool_oldest_timestamp_seconds{input="web"} 60.0' in text
    assert r'certificate_expires_timestamp_seconds{file="/a\"b"} 5.0' in text
    assert "clock_offset_seconds -1.5" in text
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ", "jointsoc_forwarder_"))


def test_they_are_served_at_one_path() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: BEAT)
    port = server.address[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.read().decode() == render(BEAT)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/secrets")
    server.close()
