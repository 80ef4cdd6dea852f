"""Events for the benchmarks: of about 1 KB, mostly what no rule matches, as real traffic is; or those of a lane."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from schemas.times import now_ms, to_rfc3339

MEMBERS = ("bench-a", "bench-b", "bench-c", "bench-d")


class Figures(NamedTuple):
    """What a run came to."""

    whole: float
    """Events/s, the job's start included."""
    steady: float
    """Events/s between 50 % and 95 %: before, the JVM still compiles what it runs."""
    spent: dict[str, float]
    """Processor seconds per event, by process, in the same stretch."""

    @property
    def cpu(self) -> float:
        """Processor seconds per event of all processes that take part."""
        return sum(self.spent.values())


def lane(path: Path) -> Iterator[bytes]:
    """A lane's events without end, with the time of now and an id, as a forwarder sends them."""
    events = [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line.strip()]
    for number, fields in enumerate(cycle(events)):
        yield orjson.dumps({"@timestamp": to_rfc3339(now_ms()), "event.id": f"{number:032x}", **fields})


def background(seed: int = 1) -> Iterator[bytes]:
    """Web server events without end, about 1 KB each; one in a hundred is a probe."""
    draw = random.Random(seed)
    number = 0
    while True:
        number += 1
        probe = draw.random() < 0.01
        yield event(number, "probe" if probe else "request", f"10.{draw.randrange(4)}.{draw.randrange(256)}.9", draw)


def event(number: int, action: str, address: str, draw: random.Random) -> bytes:
    """One event with the time of now."""
    fields: dict[str, Any] = {
        "@timestamp": to_rfc3339(now_ms()),
        "event.id": f"{draw.getrandbits(64):016x}-{number}",
        "event.action": action,
        "event.category": ["web"],
        "event.dataset": "nginx.access",
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "bench",
        "source.ip": address,
        "http.request.method": draw.choice(("GET", "POST")),
        "http.response.status_code": draw.choice((200, 200, 200, 302, 404)),
        "url.path": f"/accounts/{draw.randrange(1000)}/statement",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
        "user.hash": f"{draw.getrandbits(256):064x}",
    }
    line = orjson.dumps(fields)
    return line[:-1] + b',"message":"' + b"x" * max(0, 1000 - len(line)) + b'"}'
