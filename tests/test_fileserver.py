"""The flow of one exchange, with fakes: located, decided, admitted, opened, in this order, and all given back."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from freight.errors import Changed, Drained, PeerGone, ShortRead, Stalled
from freight.fileserver import FileServer
from freight.model import Absence, Missing, Plan, Request, Resource

FILE = Resource("a.bin", 1000, 10**18, ("application/octet-stream",), "key")
EMPTY = Resource("empty.bin", 0, 10**18, ("application/octet-stream",), "key")


class Stage:
    """Plays source, gate, transfers and clock, and writes down what happened; ``held`` is what has not been given back.

    ``opens``: what each open does; the last one goes on. ``fails``: what the transfer raises.
    """

    def __init__(self, found: Resource | Absence = FILE, opens: Any = ("reader",), fails: Any = None) -> None:
        self.found = found
        self.opens = list(opens)
        self.fails = fails
        self.happened: list[str] = []
        self.held: list[str] = []
        self.plans: list[Plan] = []

    async def locate(self, target: str) -> Resource | Absence:
        self.happened.append("located")
        return self.found

    async def open(self, resource: Resource, media_type: str) -> Any:
        assert self.held == ["slot"]
        self.happened.append("opened")
        outcome = self.opens.pop(0) if len(self.opens) > 1 else self.opens[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return Holding(self, "reader") if outcome == "reader" else outcome

    def now(self) -> float:
        self.happened.append("decided")
        return 2e9

    def monotonic(self) -> float:
        return 0.0

    def slot(self, *_: Any) -> Holding:
        return Holding(self, "slot")

    async def transfer(self, reader: Any, plan: Plan, sink: Any, slot: Any) -> None:
        assert self.held == ["slot", "reader"]
        self.happened.append("transferred")
        self.plans.append(plan)
        if self.fails is not None:
            raise self.fails

    async def send(self, plan: Plan, sink: Any) -> None:
        assert self.held == []
        self.happened.append("sent")
        self.plans.append(plan)


class Holding:
    """Something that must be given back."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name

    def __enter__(self) -> Self:
        self.stage.held.append(self.name)
        return self

    def __exit__(self, *_: object) -> None:
        self.stage.held.remove(self.name)

    async def __aenter__(self) -> Self:
        self.stage.happened.append("admitted")
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def respond(stage: Stage, method: str = "GET", *fields: tuple[str, str]) -> Plan:
    """The plan that went out in the end."""
    server: Any = FileServer(stage, stage, stage, stage)  # type: ignore[arg-type]
    asyncio.run(server.respond(Request(method, "/a.bin", fields), None))
    return stage.plans[-1]


def test_a_request_is_located_decided_admitted_and_opened_in_this_order() -> None:
    stage = Stage()
    assert respond(stage).status == 200
    assert stage.happened == ["located", "decided", "admitted", "opened", "transferred"]
    assert stage.held == []


@pytest.mark.parametrize(
    ("method", "fields", "found", "status"),
    [
        ("HEAD", (), FILE, 200),
        ("OPTIONS", (), FILE, 204),
        ("GET", (("if-none-match", "*"),), FILE, 304),
        ("GET", (("if-match", '"another"'),), FILE, 412),
        ("GET", (("range", "bytes=1000-"),), FILE, 416),
        ("POST", (), FILE, 405),
        ("BREW", (), FILE, 501),
        ("GET", (("expect", "coffee"),), FILE, 417),
        ("GET", (), EMPTY, 200),
        ("GET", (), Absence(Missing.ABSENT), 404),
        ("GET", (), Absence(Missing.UNREADABLE), 403),
        ("GET", (), Absence(Missing.MALFORMED), 400),
        ("GET", (), Absence(Missing.MOVED, "/a.bin/"), 308),
        ("GET", (), Absence(Missing.BUSY), 503),
    ],
)
def test_what_needs_no_bytes_of_a_file_takes_no_slot_and_opens_nothing(
    method: str, fields: tuple[tuple[str, str], ...], found: Resource | Absence, status: int
) -> None:
    stage = Stage(found)
    assert respond(stage, method, *fields).status == status
    assert stage.happened == ["located", "decided", "sent"]


@pytest.mark.parametrize("changes", [1, 2])
def test_a_file_replaced_between_the_look_and_the_open_is_looked_at_again(changes: int) -> None:
    stage = Stage(opens=(*[Changed("replaced")] * changes, "reader"))
    assert respond(stage).status == 200
    assert stage.happened.count("located") == changes + 1
    assert stage.happened[-1] == "transferred"
    assert stage.held == []


def test_a_file_replaced_each_time_is_busy_after_the_third_look() -> None:
    stage = Stage(opens=(Changed("replaced"),))
    plan = respond(stage)
    assert plan.status == 503
    assert "Retry-After" in dict(plan.fields)
    assert stage.happened.count("located") == stage.happened.count("opened") == 3
    assert stage.held == []


def test_a_file_that_only_the_open_finds_unreadable_is_403_and_its_slot_is_free_by_then() -> None:
    stage = Stage(opens=(Absence(Missing.UNREADABLE),))
    assert respond(stage).status == 403
    assert stage.happened == ["located", "decided", "admitted", "opened", "decided", "sent"]


@pytest.mark.parametrize(
    "error",
    [
        Changed("x"),
        ShortRead("x"),
        Stalled("x"),
        PeerGone("x"),
        Drained("x"),
        OSError(5, "bad disk"),
        RuntimeError("a fault"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_slot_and_reader_are_given_back_however_a_transfer_ends(error: BaseException) -> None:
    """A Changed in mid-body is not looked at again either: something has gone out."""
    stage = Stage(fails=error)
    with pytest.raises(type(error)):
        respond(stage)
    assert stage.held == []
    assert stage.happened.count("transferred") == 1


@pytest.mark.parametrize("error", [OSError(5, "bad disk"), RuntimeError("a fault"), asyncio.CancelledError()])
def test_the_slot_is_given_back_when_the_open_fails(error: BaseException) -> None:
    stage = Stage(opens=(error,))
    with pytest.raises(type(error)):
        respond(stage)
    assert stage.held == []
