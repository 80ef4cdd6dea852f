"""The dashboard on a real port, over an index in memory."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from dashboard.accounts import Accounts
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from pipeline.rulepack import build_pack
from schemas.member import load_registry
from schemas.times import now_ms
from tests.dashboard.busy_day import alerts_of_the_day, fill, under_real_rules, write_members
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, settings_in

RULES = Path(__file__).parents[2] / "rules" / "sigma"


@contextmanager
def live_site(folder: Path, index: IndexDouble, documents: DocumentsDouble | None = None) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    settings = settings_on_free_port(folder)
    with serving(create_app(settings, index, documents or DocumentsDouble())):
        yield f"http://127.0.0.1:{settings.port}"


@dataclass(frozen=True, slots=True)
class BusySite:
    """A dashboard in the middle of a busy day."""

    address: str
    index: IndexDouble
    viewer_password: str
    """Of `kim`, who sees what Kestrel Bank may see."""


@contextmanager
def busy_site(folder: Path) -> Iterator[BusySite]:
    """Forty institutions, the project's own rules, a campaign, people at work."""
    settings = settings_on_free_port(folder)
    ids = write_members(settings.members_file)
    pack = build_pack([RULES], load_registry(settings.members_file))
    pack.write(folder / "rules.pack")
    now = now_ms()
    alerts = under_real_rules(alerts_of_the_day(now), pack)
    index, documents = IndexDouble(alerts), DocumentsDouble()
    wanted = settings.model_copy(
        update={"pack_file": folder / "rules.pack", "rules": [RULES], "timezone": "Asia/Taipei"}
    )
    app = create_app(wanted, index, documents)
    fill(app.state.site, alerts, now, ids)
    password = Accounts(folder).add("kim", "member_viewer", "kestrel-bank")
    with serving(app):
        yield BusySite(f"http://127.0.0.1:{settings.port}", index, password)


def settings_on_free_port(folder: Path) -> DashboardSettings:
    """Settings whose secrets lie in the folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return settings_in(folder).model_copy(update={"port": port})


@contextmanager
def serving(app: FastAPI) -> Iterator[None]:
    """Serve the application until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=app.state.settings.port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the dashboard did not start"
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
