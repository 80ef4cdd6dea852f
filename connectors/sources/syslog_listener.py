"""Listens for syslog over UDP, TCP or TLS and puts each message into the spool."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Final

import structlog

from connectors.forwarder.input_settings import SyslogInput
from connectors.sources.listening import BACKLOG, cannot_listen, host_and_port, server_context
from connectors.sources.spooled import PAUSE_SECONDS
from connectors.sources.syslog_frames import Message, SyslogFrames
from connectors.spool import Spool

log = structlog.get_logger()

CHUNK_BYTES: Final = 64 * 1024
RECEIVE_BUFFER_BYTES: Final = 8 * 1024 * 1024
"""Asked for; the kernel gives no more than net.core.rmem_max."""
GATHER_SECONDS: Final = 0.01
HANDSHAKE_SECONDS: Final = 20.0


class SyslogListener:
    """One listening socket.

    Args:
        settings: transport and address.

    Raises:
        ConfigError: the address cannot be had, or the certificate cannot be used.
    """

    def __init__(self, settings: SyslogInput) -> None:
        self._settings = settings
        self._context = server_context(settings.tls) if settings.tls is not None else None
        self._socket = _bound_socket(settings.listen, datagrams=settings.transport == "udp")
        self.address = self._socket.getsockname()
        self._gathered: list[Message] = []
        self._refused = 0
        """Datagrams the spool had no room for."""
        self._connections = 0
        self._spool: Spool | None = None
        self._stop = threading.Event()

    @property
    def ended(self) -> bool:
        """Never."""
        return False

    @property
    def trouble(self) -> str:
        """Whether senders are kept waiting."""
        return ""

    @property
    def lost(self) -> int:
        """Datagrams that could not be taken, by the spool or by the kernel before us."""
        return self._refused + kernel_drops(self._socket)

    def run(self, spool: Spool, stop: threading.Event) -> None:
        """Listen until told to stop.

        Raises:
            OSError: the disk of the spool is gone.
        """
        self._spool, self._stop = spool, stop
        asyncio.run(self._serve(spool))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _serve(self, spool: Spool) -> None:
        loop = asyncio.get_running_loop()
        receive = self._receive_datagrams if self._settings.transport == "udp" else self._accept
        receiving = loop.create_task(receive(spool))
        while not self._stop.is_set() and not receiving.done():
            await asyncio.sleep(PAUSE_SECONDS)
            await loop.run_in_executor(None, lambda: spool.sync(when_due=True))
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        if not receiving.cancelled() and (error := receiving.exception()) is not None:
            raise error

    async def _receive_datagrams(self, spool: Spool) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read_datagrams)
        try:
            while True:
                await asyncio.sleep(GATHER_SECONDS)
                self._store_datagrams(spool)
        finally:
            loop.remove_reader(self._socket)
            self._read_datagrams()  # what the kernel holds already
            self._store_datagrams(spool)

    def _read_datagrams(self) -> None:
        for _ in range(1000):
            try:
                datagram = self._socket.recv(CHUNK_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            raw = datagram.rstrip(b"\r\n\0")
            if raw and not raw.isspace():
                self._gathered.append((raw, ""))

    def _store_datagrams(self, spool: Spool) -> None:
        messages, self._gathered = self._gathered, []
        if not messages:
            return
        left = len(messages) - spool.append(messages)
        if left:
            before, self._refused = self._refused, self._refused + left
            if before.bit_length() != self._refused.bit_length():
                log.warning("source.datagrams_lost", listen=self._settings.listen, total=self._refused)

    async def _accept(self, spool: Spool) -> None:
        server = await asyncio.start_server(
            lambda reader, writer: self._receive_stream(spool, reader, writer),
            sock=self._socket,
            ssl=self._context,
            limit=CHUNK_BYTES,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._context else None,
        )
        async with server:
            await server.serve_forever()

    async def _receive_stream(self, spool: Spool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= self._settings.max_connections:
            log.warning("source.too_many_connections", listen=self._settings.listen, most=self._connections)
            writer.close()
            return
        self._connections += 1
        frames = SyslogFrames()
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._store(spool, frames.feed(chunk))
        except (ConnectionError, TimeoutError, OSError) as error:
            log.info("source.connection_broken", listen=self._settings.listen, error=type(error).__name__)
        finally:
            self._connections -= 1
            spool.append(frames.rest())
            writer.close()

    async def _store(self, spool: Spool, messages: list[Message]) -> None:
        """Append; while the spool is full nothing is read, and TCP tells the sender to wait."""
        taken = spool.append(messages)
        while taken < len(messages):
            await asyncio.sleep(PAUSE_SECONDS)
            taken += spool.append(messages[taken:])


def kernel_drops(bound: socket.socket) -> int:
    """Datagrams the kernel has dropped because the socket's buffer was full; 0 where it does not tell."""
    try:
        if bound.type != socket.SOCK_DGRAM:
            return 0
        inode = str(os.fstat(bound.fileno()).st_ino)
        for table in ("/proc/net/udp", "/proc/net/udp6"):
            for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                cells = row.split()
                if cells[9] == inode:
                    return int(cells[12])
    except (OSError, IndexError, ValueError):
        pass
    return 0


def _bound_socket(address: str, *, datagrams: bool) -> socket.socket:
    host, port = host_and_port(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if datagrams:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            else:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
            if not datagrams:
                bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise cannot_listen(address, error) from error
    bound.setblocking(False)
    return bound
