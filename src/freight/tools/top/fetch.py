"""Read the /status of a server from its admin listener, in bounded time and memory."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from time import monotonic

from freight.config.types import Address, parse_address
from freight.config.unix_address import UNIX_PREFIX, UnixAddress, parse_unix_address
from freight.tools.top.status import StatusSnapshot, parse_status, safe_text

DEFAULT = Address("127.0.0.1", 9080)
"""The admin listener of a server on the default port."""

CONTENT_MAX = 32 * 1024 * 1024
"""The longest /status that is read, in bytes: a thousand downloads with targets as long as a request head may be."""

TIMEOUT_SECONDS = 5.0
"""How long a complete response may take."""

_PIECE_BYTES = 64 * 1024


class Unreachable(Exception):
    """No status could be read. ``what`` went wrong, and ``why``, in a few words each."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} ({why})")
        self.what = what
        self.why = why


class _UnixConnection(http.client.HTTPConnection):
    """A connection over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def parse_admin_address(text: str) -> Address | UnixAddress:
    """Read ``http://HOST:PORT/``, ``HOST:PORT``, ``PORT`` (on this host) or ``unix:PATH``.

    Raises ValueError with a sentence.
    """
    if text.startswith(UNIX_PREFIX):
        return parse_unix_address(text)
    rest = text.removeprefix("http://").removesuffix("/status").removesuffix("/")
    if rest.isascii() and rest.isdecimal() and not text.startswith("http:"):
        rest = f"{DEFAULT.host}:{rest}"
    try:
        address = parse_address(rest)
    except ValueError:
        address = None
    if address is None or not address.port or any(mark in rest for mark in "/@?#") or not rest.isprintable():
        raise ValueError(f"{text!r} is not an admin address; write 9080, 127.0.0.1:9080 or http://127.0.0.1:9080/")
    return address


def fetch_status(address: Address | UnixAddress, token: str = "") -> StatusSnapshot:
    """Return the current status. ``token`` is the secret of the admin listener, "" for none. Raises Unreachable."""
    deadline = monotonic() + TIMEOUT_SECONDS
    if isinstance(address, UnixAddress):
        connection: http.client.HTTPConnection = _UnixConnection(address.path)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_SECONDS)
    headers = {"Accept": "application/json", "Connection": "close"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", "/status", headers=headers)
        with connection.getresponse() as response:
            return parse_status(_content(response, deadline))
    except TimeoutError:
        raise Unreachable("no answer", f"within {TIMEOUT_SECONDS:.0f}s") from None
    except OSError as error:
        raise Unreachable("not reachable", safe_text(error.strerror or str(error))) from None
    except (http.client.HTTPException, ValueError, UnicodeError) as error:
        raise Unreachable("not a freight server's answer", safe_text(str(error) or type(error).__name__)) from None
    finally:
        connection.close()


def _content(response: http.client.HTTPResponse, deadline: float) -> bytes:
    if response.status == http.client.UNAUTHORIZED:
        raise Unreachable("not allowed", "give the server's token with --admin-token-file")
    if response.status != 200:
        raise Unreachable("no admin listener", f"/status answers {response.status} {safe_text(response.reason)}")
    content = bytearray()
    while piece := response.read1(_PIECE_BYTES):
        content += piece
        if len(content) > CONTENT_MAX:
            raise Unreachable("not a freight server's answer", f"it is longer than {CONTENT_MAX >> 20}MiB")
        if monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


FetchResult = StatusSnapshot | Unreachable


class StatusPoller:
    """Read the status in a daemon thread, so that a slow server never blocks the screen.

    ``on_result`` is called in that thread with each result. After ``interval_seconds`` the next request is sent; None:
    there is only one.
    """

    def __init__(
        self,
        address: Address | UnixAddress,
        on_result: Callable[[FetchResult], None],
        interval_seconds: float | None = None,
        token: str = "",
    ) -> None:
        self._address = address
        self._token = token
        self._on_result = on_result
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more requests."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                result: FetchResult = fetch_status(self._address, self._token)
            except Unreachable as error:
                result = error
            if not self._stopped.is_set():
                self._on_result(result)
            if self._interval_seconds is None or self._stopped.wait(self._interval_seconds):
                return


def fetch_once(address: Address | UnixAddress, token: str = "") -> StatusSnapshot:
    """Return the current status, in bounded time whatever the server does. Raises Unreachable."""
    results: list[FetchResult] = []
    done = threading.Event()

    def keep(result: FetchResult) -> None:
        results.append(result)
        done.set()

    StatusPoller(address, keep, token=token)
    # http.client has no deadline for a head whose fields arrive one by one.
    if not done.wait(2 * TIMEOUT_SECONDS):
        raise Unreachable("no answer", f"within {2 * TIMEOUT_SECONDS:.0f}s")
    if isinstance(results[0], Unreachable):
        raise results[0]
    return results[0]
