"""The dashboard on a real port, over an index in memory."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from dashboard.app import create_app
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, settings_in


@contextmanager
def live_site(folder: Path, index: IndexDouble, documents: DocumentsDouble | None = None) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(settings_in(folder).model_copy(update={"port": port}), index, documents or DocumentsDouble())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the dashboard did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
