"""Attack stories as data: what happens when, and which alerts must come of it."""

from __future__ import annotations

import random
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from deploy.demo.actions import ACTIONS, Cast
from deploy.demo.institutions import Institution, Line
from schemas.alert import Level

ATTACKER_ADDRESSES: Final = tuple(f"{block}.{host}" for block in ("198.51.100", "203.0.113") for host in range(1, 255))
FEDERATION_SCANNER: Final = "192.0.2.242"
"""In the range that `rules/sigma/filters/federation_scanner.yml` lists."""
_STRIDE: Final = 197
"""Prime to the number of addresses: consecutive runs look unlike each other and share no address for long."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Beat(_Part):
    """One thing that happens at one institution."""

    at: float = Field(ge=0, description="seconds at normal speed")
    member: str
    do: Annotated[str, StringConstraints(pattern="^(" + "|".join(ACTIONS) + ")$")]
    count: int = Field(default=1, ge=1)
    over: float = Field(default=0, ge=0, description="seconds that `count` are spread over")
    say: str = ""


class ExpectedAlert(_Part):
    """One alert that must come of a story."""

    rule: str = Field(description="name of the correlation")
    level: Level
    group_by: dict[str, str]
    members: dict[str, int] = Field(description="events of each member, in order of spread")
    groups: int

    @property
    def events(self) -> int:
        """Events of all members."""
        return sum(self.members.values())

    def about(self, cast: Cast) -> ExpectedAlert:
        """The same with the run's address and file for the placeholders."""
        return self.model_copy(update={"group_by": {key: cast.fill(text) for key, text in self.group_by.items()}})


class Story(_Part):
    """One attack, or a decoy that must raise nothing."""

    id: str
    title: str
    because: str = Field(default="", description="why a decoy must not alert")
    cast: Literal["attacker", "federation-scanner"]
    beats: tuple[Beat, ...]
    expected: tuple[ExpectedAlert, ...] = ()


class Said(NamedTuple):
    """What the screen tells at a moment of the play."""

    at: int
    member: str
    words: str
    decoy: bool


class Play(NamedTuple):
    """All stories of one run, placed in time."""

    lines: list[Line]
    """In order of time."""
    said: list[Said]
    expected: list[ExpectedAlert]
    end: int
    """ms; the last line's time."""


@cache
def load_stories() -> tuple[Story, ...]:
    """The stories, in the file's order."""
    data = yaml.safe_load(Path(__file__).with_name("stories.yml").read_text(encoding="utf-8"))
    return tuple(Story.model_validate(story) for story in data["stories"])


def cast_of(stories: tuple[Story, ...], number: int, run: int) -> Cast:
    """Who plays a story in a run: addresses and files differ between the stories and between the runs.

    Args:
        stories: all of them.
        number: the story's place among them, from 0.
        run: the run's number on this stack.
    """
    story = stories[number]
    turn = (run * len(stories) + number) * _STRIDE % len(ATTACKER_ADDRESSES)
    address = FEDERATION_SCANNER if story.cast == "federation-scanner" else ATTACKER_ADDRESSES[turn]
    return Cast(address, sha256(f"{run}/{story.id}/{turn}".encode()).hexdigest())


def stage(institutions: tuple[Institution, ...], *, run: int, start: int, speed: float = 1.0) -> Play:
    """Place every beat of every story in time.

    Args:
        institutions: where it happens.
        run: the run's number; decides addresses, files and names.
        start: ms; the stories' second 0.
        speed: 2 plays twice as fast.
    """
    stories = load_stories()
    known = {institution.id: institution for institution in institutions}
    lines: list[Line] = []
    said: list[Said] = []
    expected: list[ExpectedAlert] = []
    for number, story in enumerate(stories):
        cast = cast_of(stories, number, run)
        rng = random.Random(f"{run}/{story.id}")  # noqa: S311 - an invented story, no secret
        for beat in story.beats:
            begin = start + round(beat.at * 1000 / speed)
            act = ACTIONS[beat.do]
            for index in range(beat.count):
                at = begin + round(index * beat.over * 1000 / speed / beat.count)
                lines += act(known[beat.member], cast, at, rng)
            if beat.say:
                said.append(Said(begin, beat.member, cast.fill(beat.say), not story.expected))
        expected += [alert.about(cast) for alert in story.expected]
    lines.sort()
    said.sort()
    return Play(lines, said, expected, lines[-1].at)
