"""Asking a server what it does: where its admin listener is, and its /status, in bounded time and memory."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from time import monotonic

from freight.kinds import Address, parse_address
from freight.top.look import Look, parse_look, printable

DEFAULT = Address("127.0.0.1", 9080)
"""Where the admin listener of a server on the default port is."""

CONTENT_MAX = 32 * 1024 * 1024
"""The longest /status that is read, in bytes: a thousand downloads whose targets are as long as a head may be."""

ASK_SECONDS = 5.0
"""How long a whole answer may take."""

_PIECE_BYTES = 64 * 1024


class Unseen(Exception):
    """There was nothing to be seen: ``what`` is wrong, and ``why``, in a few words each."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} ({why})")
        self.what = what
        self.why = why


def parse_place(text: str) -> Address:
    """``http://HOST:PORT/``, ``HOST:PORT`` or ``PORT`` (of this host). Raises ValueError with a sentence."""
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


def look(address: Address) -> Look:
    """What the server says now. Raises Unseen."""
    deadline = monotonic() + ASK_SECONDS
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", "/status", headers={"Accept": "application/json", "Connection": "close"})
        with connection.getresponse() as answer:
            return parse_look(_content(answer, deadline))
    except TimeoutError:
        raise Unseen("no answer", f"within {ASK_SECONDS:.0f}s") from None
    except OSError as error:
        raise Unseen("not reachable", printable(error.strerror or str(error))) from None
    except (http.client.HTTPException, ValueError, UnicodeError) as error:
        raise Unseen("not a freight server's answer", printable(str(error) or type(error).__name__)) from None
    finally:
        connection.close()


def _content(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    if answer.status != 200:
        raise Unseen("no admin listener", f"/status is answered {answer.status} {printable(answer.reason)}")
    content = bytearray()
    while piece := answer.read1(_PIECE_BYTES):
        content += piece
        if len(content) > CONTENT_MAX:
            raise Unseen("not a freight server's answer", f"it is longer than {CONTENT_MAX >> 20}MiB")
        if monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


Outcome = Look | Unseen


class Asking:
    """Asks in a thread, so that a server that answers slowly never holds up who looks.

    ``told`` is called in that thread with each outcome; ``interval_seconds`` lie between an outcome and the next
    question. Without an interval it asks once. It ends with the process.
    """

    def __init__(
        self, address: Address, told: Callable[[Outcome], None], interval_seconds: float | None = None
    ) -> None:
        self._address = address
        self._told = told
        self._interval_seconds = interval_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                outcome: Outcome = look(self._address)
            except Unseen as error:
                outcome = error
            if not self._over.is_set():
                self._told(outcome)
            if self._interval_seconds is None or self._over.wait(self._interval_seconds):
                return


def look_once(address: Address) -> Look:
    """What the server says now, whatever it does to keep us. Raises Unseen."""
    outcomes: list[Outcome] = []
    came = threading.Event()

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        came.set()

    Asking(address, told)
    if not came.wait(2 * ASK_SECONDS):  # fields of a head that come one by one know no deadline
        raise Unseen("no answer", f"within {2 * ASK_SECONDS:.0f}s")
    if isinstance(outcomes[0], Unseen):
        raise outcomes[0]
    return outcomes[0]
