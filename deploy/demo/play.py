"""The demo from end to end: the stack, the institutions, the stories, and whether the right alerts came of them."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from connectors.alert_index import AlertIndex
from deploy.demo.background import background
from deploy.demo.forwarders import check_forwarders, start_forwarders, stop_forwarders, wait_for_forwarders
from deploy.demo.institutions import load_institutions
from deploy.demo.player import LogFolders, Player, clear_folders
from deploy.demo.screen import Screen
from deploy.demo.story import Play, Said, load_stories, stage
from deploy.demo.verdict import Difference, differences
from deploy.demo.watch import Watch
from deploy.local.elasticsearch_users import elasticsearch_connection
from deploy.local.members import add_members
from deploy.local.settings import StackSettings, project_root
from deploy.local.stack import up
from deploy.local.steps import Observer
from pipeline.detect.load import load_documents
from schemas.errors import ConfigError
from schemas.times import now_ms

LEAD_MS: Final = 2_000
"""Between the first line of background and the stories' second 0."""
PATIENCE_SECONDS: Final = 60.0
"""How long after the last line the expected alerts may take to stand in the index."""
QUIET_SECONDS: Final = 6.0
"""How long the alerts must then stay as expected: time enough for one that should not come."""
_LOOK_SECONDS: Final = 0.5
_CHECK_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How to play.

    Attributes:
        rate: background lines a second, all institutions together.
        speed: 2 plays the stories twice as fast.
        stay: go on with the background after the stories until interrupted.
    """

    rate: float = 20.0
    speed: float = 1.0
    stay: bool = False


class Demo:
    """One run on one stack.

    Args:
        settings: the stack.
        options: how to play.
        console: where the transcript goes.
    """

    def __init__(self, settings: StackSettings, options: DemoOptions, console: Console) -> None:
        self._settings, self._options, self._console = settings, options, console
        self._institutions = load_institutions()
        self._folder = settings.home / "demo"
        self._check_at = 0
        self._names = {institution.id: institution.name for institution in self._institutions}

    def prepare(self, observe: Observer) -> None:
        """Register the institutions and bring the stack up.

        Raises:
            JointSocError: as `up` and `add_members`.
        """
        add_members(self._settings, [institution.member for institution in self._institutions], observe)
        up(self._settings, observe)

    def play(self) -> list[Difference]:
        """Play the stories and show what happens; returns what is not as they promise, at best nothing.

        Raises:
            JointSocError: a forwarder died, or Elasticsearch was away for too long.
        """
        clear_folders(self._folder, self._institutions)
        folders = LogFolders(self._folder, self._institutions)
        self._console.print("starting a forwarder for each institution", style="dim")
        start_forwarders(self._settings, self._folder, self._institutions)
        index = AlertIndex(elasticsearch_connection(self._settings, "operator"))
        try:
            wait_for_forwarders(self._settings, self._institutions)
            return self._play(folders, Watch(index))
        finally:
            stop_forwarders(self._settings, self._institutions)
            index.close()

    def _play(self, folders: LogFolders, watch: Watch) -> list[Difference]:
        run, begin = _next_run(self._folder), now_ms()
        start = begin + LEAD_MS
        play = stage(self._institutions, run=run, start=start, speed=self._options.speed)
        everyday = background(self._institutions, seed=run, start=begin, rate=self._options.rate)
        player = Player(folders, everyday, play.lines)
        player.start()
        try:
            with Screen(self._console, self._names, start, play.end) as screen:
                differing = self._follow(play, watch, player, screen)
            screen.summary(watch.grown)
            self._conclude(screen, play, differing)
            if self._options.stay:
                with screen:
                    self._stay(play, watch, player, screen)
        finally:
            player.stop()
        return differing

    def _follow(self, play: Play, watch: Watch, player: Player, screen: Screen) -> list[Difference]:
        """Tell and watch until the alerts are, and stay, as promised; or until patience ends."""
        names, unsaid = _rule_names(), deque(play.said)
        last, as_promised_since = play.end + round(PATIENCE_SECONDS * 1000), 0
        while True:
            self._look(play, watch, player, screen, unsaid)
            now = now_ms()
            differing = differences(play.expected, watch.grown, names)
            if differing or now < play.end:
                as_promised_since = 0
            elif not as_promised_since:
                as_promised_since = now
            elif now - as_promised_since > QUIET_SECONDS * 1000:
                return []
            if now > last and not as_promised_since:
                return differing
            time.sleep(_LOOK_SECONDS)

    def _stay(self, play: Play, watch: Watch, player: Player, screen: Screen) -> None:
        """Everyday life goes on until someone presses Ctrl-C."""
        with suppress(KeyboardInterrupt):
            while True:
                self._look(play, watch, player, screen, deque())
                time.sleep(_LOOK_SECONDS)

    def _look(self, play: Play, watch: Watch, player: Player, screen: Screen, unsaid: deque[Said]) -> None:
        now = now_ms()
        while unsaid and unsaid[0].at <= now:
            screen.tell(unsaid.popleft())
        for news in watch.look():
            screen.report(news, now)
        screen.show(now, player.written, len(watch.grown), len(play.expected))
        if now >= self._check_at:  # looks at every process of the machine: not each time
            check_forwarders(self._settings, self._institutions)
            self._check_at = now + _CHECK_MS
        if isinstance(player.error, OSError):
            raise ConfigError(str(self._folder), f"cannot write the institutions' logs: {player.error.strerror}")
        if player.error is not None:
            raise player.error

    def _conclude(self, screen: Screen, play: Play, differing: list[Difference]) -> None:
        if differing:
            screen.say("The alerts are not what the stories promise:", "bold red")
            screen.differ(differing)
            screen.say("See what is behind or dead: jsoc status; what the job says: jsoc logs taskmanager-1", "dim")
        else:
            decoys = sum(not story.expected for story in load_stories())
            screen.say(
                f"{len(play.expected)} alerts, exactly those that the stories promise; {decoys} decoys raised none."
            )
        home = self._settings.home
        screen.say()
        screen.say(f"Look     {self._settings.dashboard_url}")
        screen.say(f"         user analyst, password in {home / 'secrets' / 'dashboard-password'}")
        screen.say("         the critical ones first: who was hit, in which order, with which events")
        screen.say("Shell    jsoc alerts list")
        screen.say("Servers  jsoc status")
        screen.say("Stop     jsoc down")
        if self._options.stay:
            screen.say()
            screen.say(
                "Everyday traffic goes on. Ctrl-C stops the institutions; the servers stay until `jsoc down`.", "dim"
            )
        else:
            screen.say()
            screen.say("The institutions have stopped; the servers stay up until `jsoc down`.", "dim")


def _rule_names() -> dict[str, str]:
    """Rule id -> rule name, of this project's rules."""
    documents = load_documents([project_root() / "rules" / "sigma"])
    return {document.id: str(document.data.get("name", "")) for document in documents}


def _next_run(folder: Path) -> int:
    """The number of this run on this stack, from 1; remembered, so that every run has its own attackers."""
    path = folder / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else "0"
    if not text.isdecimal():
        raise ConfigError(str(path), "not the number of a run", got=text, hint=f"rm {path}")
    number = int(text) + 1
    path.write_text(str(number), encoding="utf-8")
    return number
