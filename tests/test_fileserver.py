"""The flow of one exchange, with fakes: located, decided, admitted, opened, in this order, and all given back."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from freight.errors import Changed, Drained, PeerGone, ShortRead, Stalled
from freight.fileserver import FileServer
from freight.flow.gate import EXPRESS_BYTES, Lane, lane_of
from freight.model import Absence, Missing, Plan, Refusal, Refused, Request, Resource, WaitReason

FILE = Resource("a.bin", 1000, 10**18, ("application/octet-stream",), "key")
EMPTY = Resource("empty.bin", 0, 10**18, ("application/octet-stream",), "key")


class Stage:
    """Plays source, gate, transfers and clock, and writes down what happened; ``held`` is what has not been given back.

    ``found``: what each look finds, and ``opens``: what each open does; the last one goes on. ``fails``: what the
    transfer raises. ``waits``: how long the slot is waited for, in seconds; ``refuses``: there is none.
    """

    def __init__(
        self,
        *found: Resource | Absence,
        opens: Any = ("reader",),
        fails: Any = None,
        waits: float = 0.0,
        refuses: Refused | None = None,
    ) -> None:
        self.found = list(found or [FILE])
        self.opens = list(opens)
        self.fails = fails
        self.waits = waits
        self.refuses = refuses
        self.crowded = False
        self.asked: list[tuple[str, int | None, bool]] = []
        self.happened: list[str] = []
        self.held: list[str] = []
        self.plans: list[Plan] = []

    async def locate(self, target: str, client: str) -> Resource | Absence:
        self.happened.append("located")
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    async def open(self, resource: Resource, media_type: str, client: str) -> Any:
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

    def slot(self, client: str, length: int | None, produced: bool, sink: Any) -> Any:
        self.asked.append((client, length, produced))
        return Holding(self, "slot", lane_of(length, produced)) if self.refuses is None else Turned(self, self.refuses)

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


class Turned:
    """What entering gives who is turned away: nothing that would have to be given back."""

    def __init__(self, stage: Stage, refused: Refused) -> None:
        self.stage = stage
        self.refused = refused

    async def __aenter__(self) -> Refused:
        self.stage.happened.append("refused")
        return self.refused

    async def __aexit__(self, *_: object) -> None:
        pass


class Holding:
    """Something that must be given back."""

    def __init__(self, stage: Stage, name: str, lane: Lane | None = None) -> None:
        self.stage = stage
        self.name = name
        self.lane = lane
        self.waited_seconds = stage.waits

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
    asyncio.run(server.respond(Request(method, "/a.bin", fields, client="192.0.2.1"), None))
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


LISTING = Resource("", None, 10**18, ("text/html", "application/json"), "key", produced=True)


@pytest.mark.parametrize(
    ("found", "fields", "asked"),
    [
        (FILE, (), ("192.0.2.1", 1000, False)),
        (FILE, (("range", "bytes=10-19"),), ("192.0.2.1", 10, False)),
        (LISTING, (), ("192.0.2.1", None, True)),
    ],
)
def test_a_slot_is_asked_for_in_the_clients_name_and_by_the_answers_length(
    found: Resource, fields: tuple[tuple[str, str], ...], asked: tuple[str, int | None, bool]
) -> None:
    stage = Stage(found)
    respond(stage, "GET", *fields)
    assert stage.asked == [asked]


@pytest.mark.parametrize("why", [why for why in Refusal if why is not Refusal.CROWDED])
def test_who_is_refused_is_told_when_to_come_back_and_nothing_is_opened(why: Refusal) -> None:
    """RFC 9110 sections 15.6.4 and 10.2.3."""
    stage = Stage(refuses=Refused(why, 17))
    plan = respond(stage)
    assert (plan.status, dict(plan.fields)["Retry-After"], plan.spans) == (503, "17", ())
    assert stage.happened == ["located", "decided", "refused", "sent"]
    assert not plan.close  # it may come back by the same connection,
    stage = Stage(refuses=Refused(why, 17))
    stage.crowded = True
    assert respond(stage).close  # unless others wait for its memory


def test_a_refusal_after_a_wait_says_how_long_that_was() -> None:
    plan = respond(Stage(refuses=Refused(Refusal.LATE, 17, WaitReason.SLOTS, waited_seconds=1.5)))
    assert dict(plan.fields)["Server-Timing"] == "queue;dur=1500.0"
    assert "Server-Timing" not in dict(respond(Stage(refuses=Refused(Refusal.FULL, 17))).fields)


@pytest.mark.parametrize(("seconds", "said"), [(0.0, None), (0.25, "queue;dur=250.0"), (29.9996, "queue;dur=29999.6")])
def test_an_answer_that_waited_says_how_long_and_one_that_did_not_says_nothing(
    seconds: float, said: str | None
) -> None:
    """Server-Timing, section 2: ``dur`` is in milliseconds."""
    assert dict(respond(Stage(waits=seconds)).fields).get("Server-Timing") == said


def test_a_file_that_changed_while_its_request_waited_is_looked_at_again_in_the_same_slot() -> None:
    """Giving the slot back would mean standing in line once more. The answer is the new file's, and has waited too."""
    longer = Resource("a.bin", 2000, 10**18 + 1, FILE.media_types, "key")
    stage = Stage(FILE, longer, opens=(Changed("replaced"), "reader"), waits=1.5)
    plan = respond(stage)
    assert (plan.length, dict(plan.fields)["Server-Timing"]) == (2000, "queue;dur=1500.0")
    assert stage.happened == ["located", "decided", "admitted", "opened", "located", "decided", "opened", "transferred"]
    assert stage.held == []


@pytest.mark.parametrize(
    ("before", "after", "slots"),
    [
        (EXPRESS_BYTES, EXPRESS_BYTES + 1, [EXPRESS_BYTES, EXPRESS_BYTES + 1]),
        (EXPRESS_BYTES + 1, EXPRESS_BYTES, [EXPRESS_BYTES + 1]),
    ],
)
def test_a_file_that_outgrew_the_express_lane_while_its_request_waited_leaves_that_lane(
    before: int, after: int, slots: list[int]
) -> None:
    """Else huge downloads would stand in the way of small ones. The other way round the slot is good enough."""
    was, is_now = (Resource("a.bin", size, 10**18 + size, FILE.media_types, "key") for size in (before, after))
    stage = Stage(was, is_now, opens=(Changed("grown"), "reader"))
    assert respond(stage).length == after
    assert [length for _, length, _ in stage.asked] == slots
    assert stage.held == []


@pytest.mark.parametrize(
    ("then", "fields", "status"),
    [
        (Absence(Missing.ABSENT), (), 404),
        (EMPTY, (), 200),
        (Resource("a.bin", 2000, 10**18 + 1, FILE.media_types, "key"), (("range", "bytes=3000-"),), 416),
    ],
)
def test_a_file_that_is_nothing_to_send_when_its_turn_comes_is_answered_without_the_slot(
    then: Resource | Absence, fields: tuple[tuple[str, str], ...], status: int
) -> None:
    first = Resource("a.bin", 9000, 10**18, FILE.media_types, "key")
    stage = Stage(first, then, opens=(Changed("replaced"),))
    assert respond(stage, "GET", *fields).status == status
    assert stage.happened[3:] == ["opened", "located", "decided", "sent"]
    assert stage.held == []


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
