"""A campaign of the end-to-end tests: the same events each time, but for addresses, ids and the moment they start."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.times import to_rfc3339


@dataclass(frozen=True, slots=True)
class Sent:
    """One line to send: when (ms after the start), by whom, what."""

    at: int
    member: str
    line: bytes
    dead: bool
    """Whether the centre must refuse it."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Forty addresses that probe members within half a minute, noise, and lines that are no events.

    Two campaigns with the same seed differ in nothing but `number`, which moves the addresses, and `start`.
    """

    number: int
    start: int
    members: tuple[str, ...]
    seed: int = 7

    def address(self, index: int) -> str:
        """The campaign's attacker `index`."""
        return str(ipaddress.ip_address("198.18.0.0") + self.number * 256 + index)

    def lines(self, duration: int = 30_000) -> list[Sent]:
        """Everything to send, in order of time."""
        draw = random.Random(self.seed)
        sent = [*self._probes(draw, duration), *self._noise(draw, duration), *self._broken(draw, duration)]
        return sorted(sent, key=lambda item: item.at)

    def _probes(self, draw: random.Random, duration: int) -> Iterator[Sent]:
        for attacker in range(40):
            reach = draw.sample(self.members, k=draw.randint(1, len(self.members)))
            for number in range(draw.randint(3, 12)):
                at = draw.randrange(duration)
                fields = {"event.action": "probe", "source.ip": self.address(attacker)}
                yield self._event(at, draw.choice(reach), f"{attacker}-{number}", fields)

    def _noise(self, draw: random.Random, duration: int) -> Iterator[Sent]:
        for number in range(1500):
            fields = {"event.action": "nothing", "source.ip": f"10.0.0.{number % 250}"}
            yield self._event(draw.randrange(duration), draw.choice(self.members), f"noise-{number}", fields)
        for number in range(5):
            fields = {"event.action": "single", "source.ip": self.address(200 + number)}
            yield self._event(draw.randrange(duration), draw.choice(self.members), f"single-{number}", fields)

    def _broken(self, draw: random.Random, duration: int) -> Iterator[Sent]:
        foreign = self._event(0, self.members[0], "foreign", {"organization.id": self.members[1]}).line
        for line in (b'{"cut', b"\xff\xfe", b"[]", b'{"@timestamp": 1}', foreign) * 4:
            yield Sent(draw.randrange(duration), self.members[0], line, dead=True)

    def _event(self, at: int, member: str, name: str, fields: dict[str, Any]) -> Sent:
        event = {
            "@timestamp": to_rfc3339(self.start + at),
            "event.id": f"{self.number}-{name}",
            "jointsoc.logsource.product": "jointsoc",
            "jointsoc.logsource.service": "e2e",
        }
        return Sent(at, member, orjson.dumps(event | fields), dead=False)
