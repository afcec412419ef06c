"""A client of HTTP/3, by aioquic: one GET on a connection of its own."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

PATIENCE_SECONDS = 30.0


@dataclass
class Answered:
    """What has come of an answer."""

    fields: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def status(self) -> int:
        """Its status."""
        return int(self.fields[":status"])


class _Asking(QuicConnectionProtocol):
    """One request, and its answer to the end."""

    answered: asyncio.Future[Answered]

    async def get(self, authority: str, target: str, **fields: str) -> Answered:
        self._http, self._answer = H3Connection(self._quic), Answered()
        self.answered = asyncio.get_running_loop().create_future()
        head = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": target, **fields}
        stream = self._quic.get_next_available_stream_id()
        self._http.send_headers(stream, [(name.encode(), value.encode()) for name, value in head.items()], True)
        self.transmit()
        return await self.answered

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated) and not self.answered.done():
            self.answered.set_exception(ConnectionError(event.reason_phrase))
        for each in self._http.handle_event(event):
            if isinstance(each, HeadersReceived):
                self._answer.fields |= {name.decode(): value.decode() for name, value in each.headers}
            elif isinstance(each, DataReceived):
                self._answer.content += each.data
            if isinstance(each, HeadersReceived | DataReceived) and each.stream_ended:
                self.answered.set_result(self._answer)


def get(host: str, port: int, target: str, **fields: str) -> Answered:
    """The answer to a GET; any certificate is taken. Raises ConnectionError, TimeoutError."""

    async def ask() -> Answered:
        quic = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
        quic.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with connect(host, port, configuration=quic, create_protocol=_Asking) as client:
                assert isinstance(client, _Asking)
                return await client.get(f"localhost:{port}", target, **fields)

    return asyncio.run(ask())
