"""Takes NDJSON by HTTP POST and puts each line into the spool; answers 200 when the lines are on the disk."""

from __future__ import annotations

import hmac
import json
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from connectors.forwarder.input_settings import HttpInput
from connectors.settings import read_secret
from connectors.sources.line_reader import LineReader
from connectors.sources.listening import cannot_listen, host_and_port, server_context
from connectors.spool import Spool

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""As sent, and again unpacked."""
MAX_REQUESTS: Final = 8
"""At a time; together they cannot fill the memory."""
SOCKET_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 5


class HttpListener:
    """One listening socket.

    Args:
        settings: address, token, certificate.

    Raises:
        ConfigError: the address cannot be had, or token or certificate cannot be used.
    """

    def __init__(self, settings: HttpInput) -> None:
        self._token = read_secret(settings.token_file).encode()
        context = server_context(settings.tls) if settings.tls is not None else None
        self._spool: Spool | None = None
        self._slots = threading.BoundedSemaphore(MAX_REQUESTS)
        self._refused = 0
        try:
            self._server = _Server(host_and_port(settings.listen), _handler_of(self))
        except OSError as error:
            raise cannot_listen(settings.listen, error) from error
        if context is not None:
            # The handshake happens in the thread of the request: a silent client holds up itself only.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = self._server.server_address

    @property
    def ended(self) -> bool:
        """Never."""
        return False

    @property
    def trouble(self) -> str:
        """Nothing: who cannot be served is told by the status code."""
        return ""

    @property
    def lost(self) -> int:
        """Nothing: what is not taken is the sender's to send again."""
        return 0

    def run(self, spool: Spool, stop: threading.Event) -> None:
        """Serve until told to stop."""
        self._spool = spool
        serving = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.1), daemon=True)
        serving.start()
        stop.wait()
        self._server.shutdown()
        serving.join()

    def close(self) -> None:
        """Close the socket."""
        self._server.server_close()

    def allows(self, authorization: str) -> bool:
        """Whether the request brings the token; takes the same time for every wrong one."""
        kind, _, given = authorization.partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return True
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            log.warning("source.request_refused", reason="token", total=self._refused)
        return False

    def take(self, body: bytes) -> int | None:
        """Store the lines of a body; returns how many, or None where the spool has no room for all of them.

        Raises:
            OSError: the disk is gone.
        """
        assert self._spool is not None, "run() comes first"
        reader = LineReader("http")
        lines = [(line.raw, line.too_long) for line in (*reader.feed(body), *reader.rest())]
        if lines and self._spool.append(lines, whole=True) < len(lines):
            return None
        self._spool.sync()
        return len(lines)

    def slot(self) -> threading.BoundedSemaphore:
        """One of the places for requests at work."""
        return self._slots


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Broken connections and handshakes are the sender's affair."""
        log.debug("source.connection_broken")


def _handler_of(listener: HttpListener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SOCKET_SECONDS
        server_version, sys_version = "jointsoc", ""

        def do_POST(self) -> None:
            self.connection.settimeout(SOCKET_SECONDS)
            if not listener.allows(self.headers.get("Authorization", "")):
                self._answer(401, error="a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
                return
            if not listener.slot().acquire(blocking=False):
                self._answer(503, error="too many requests at a time", headers={"Retry-After": str(RETRY_SECONDS)})
                return
            try:
                self._take()
            finally:
                listener.slot().release()

        def _take(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                self._answer(411, error="a Content-Length is needed; chunked bodies are not supported")
                return
            if int(length) > MAX_BODY_BYTES:
                self._answer(413, error=f"at most {MAX_BODY_BYTES} bytes")
                return
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True
                return
            encoding = self.headers.get("Content-Encoding", "identity").lower()
            unpacked = body if encoding == "identity" else _unpack(body) if encoding == "gzip" else None
            if unpacked is None:
                self._answer(413, error=f"not gzip, or more than {MAX_BODY_BYTES} bytes unpacked")
                return
            taken = listener.take(unpacked)
            if taken is None:
                self._answer(429, error="the spool is full", headers={"Retry-After": str(RETRY_SECONDS)})
            else:
                self._answer(200, taken=taken)

        def _answer(
            self,
            status: int,
            *,
            error: str | None = None,
            taken: int | None = None,
            headers: dict[str, str] | None = None,
        ) -> None:
            body = json.dumps({"error": error} if error is not None else {"taken": taken}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 200:  # the body was not read: what follows in the connection is not a request
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Requests are counted, not told one by one."""

    return Handler


def _unpack(body: bytes) -> bytes | None:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        return None
    return unpacked if unpacker.eof and len(unpacked) <= MAX_BODY_BYTES else None
