"""The flow of one exchange, with fakes: locate, decide, admit, open, in this order, and everything is returned."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from freight.errors import ClientDisconnected, FileChanged, ShortRead, ShutdownTimeout, Stalled
from freight.fileserver import AnswerPolicy, FileServer
from freight.flow.slot import EXPRESS_BYTES, lane_of
from freight.http.cors import CorsPolicy
from freight.memory.budget import Lane
from freight.model import NotFound, NotFoundReason, Plan, Rejected, RejectReason, Request, Resource, WaitReason
from freight.protocols import ReadFailed

FILE = Resource("a.bin", 1000, 10**18, ("application/octet-stream",), "key")
EMPTY = Resource("empty.bin", 0, 10**18, ("application/octet-stream",), "key")


class Stage:
    """A fake source, gate, transfers and clock that records what happened; ``held`` is what has not been returned.

    ``found`` is what each ``locate`` returns or raises, and ``opens`` what each ``open`` does; the last one repeats.
    ``fails`` is what the transfer raises, ``waits`` how long the slot takes in seconds, ``rejects`` what
    comes instead of a slot.
    """

    def __init__(
        self,
        *found: Resource | NotFound | OSError,
        opens: Any = ("reader",),
        fails: Any = None,
        waits: float = 0.0,
        rejects: Rejected | None = None,
    ) -> None:
        self.found = list(found or [FILE])
        self.opens = list(opens)
        self.fails = fails
        self.waits = waits
        self.rejects = rejects
        self.accept_blocked = False
        self.only_file = ""
        self.waiting = 0
        self.asked: list[tuple[str, int | None, bool]] = []
        self.happened: list[str] = []
        self.held: list[str] = []
        self.plans: list[Plan] = []

    async def locate(self, target: str, client: str, *, revealed: bool = False) -> Resource | NotFound:
        self.happened.append("located")
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, OSError):
            raise found
        return found

    async def open(self, resource: Resource, media_type: str, client: str) -> Any:
        assert self.held == ["slot"]
        self.happened.append("opened")
        outcome = self.opens.pop(0) if len(self.opens) > 1 else self.opens[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return Held(self, "reader") if outcome == "reader" else outcome

    def keep_open(self, resource: Resource) -> None:
        """Keep nothing: no answer is sent again."""

    def now(self) -> float:
        self.happened.append("decided")
        return 2e9

    def monotonic(self) -> float:
        return 0.0

    def slot(self, client: str, length: int | None, produced: bool, sink: Any) -> Any:
        self.asked.append((client, length, produced))
        return Held(self, "slot", lane_of(length, produced)) if self.rejects is None else NoSlot(self, self.rejects)

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


class NoSlot:
    """A rejected admission: it holds nothing."""

    def __init__(self, stage: Stage, rejected: Rejected) -> None:
        self.stage = stage
        self.rejected = rejected

    async def __aenter__(self) -> Rejected:
        self.stage.happened.append("refused")
        return self.rejected

    async def __aexit__(self, *_: object) -> None:
        pass


class Held:
    """A slot or a reader, which must be returned."""

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
    """Let the server respond, and return the plan of its answer."""
    server: Any = FileServer(stage, stage, stage, stage, AnswerPolicy(CorsPolicy()))  # type: ignore[arg-type]
    asyncio.run(server.respond(Request(method, "/a.bin", fields, client_key="192.0.2.1"), None))
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
        ("GET", (), NotFound(NotFoundReason.ABSENT), 404),
        ("GET", (), NotFound(NotFoundReason.UNREADABLE), 403),
        ("GET", (), NotFound(NotFoundReason.MALFORMED), 400),
        ("GET", (), NotFound(NotFoundReason.MOVED, "/a.bin/"), 308),
        ("GET", (), NotFound(NotFoundReason.BUSY), 503),
    ],
)
def test_an_answer_without_bytes_of_a_file_needs_no_slot_and_opens_nothing(
    method: str, fields: tuple[tuple[str, str], ...], found: Resource | NotFound, status: int
) -> None:
    stage = Stage(found)
    assert respond(stage, method, *fields).status == status
    assert stage.happened == ["located", "decided", "sent"]


@pytest.mark.parametrize("changes", [1, 2])
def test_a_file_that_is_replaced_before_it_is_opened_is_located_again(changes: int) -> None:
    stage = Stage(opens=(*[FileChanged("replaced")] * changes, "reader"))
    assert respond(stage).status == 200
    assert stage.happened.count("located") == changes + 1
    assert stage.happened[-1] == "transferred"
    assert stage.held == []


def test_a_file_that_is_replaced_each_time_is_busy_after_eight_attempts() -> None:
    stage = Stage(opens=(FileChanged("replaced"),))
    plan = respond(stage)
    assert plan.status == 503
    assert "Retry-After" in dict(plan.fields)
    assert stage.happened.count("located") == stage.happened.count("opened") == 8
    assert stage.held == []


def test_a_file_that_cannot_be_opened_is_403_and_its_slot_is_returned_first() -> None:
    stage = Stage(opens=(NotFound(NotFoundReason.UNREADABLE),))
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
def test_a_slot_is_requested_with_the_client_and_the_length_of_the_answer(
    found: Resource, fields: tuple[tuple[str, str], ...], asked: tuple[str, int | None, bool]
) -> None:
    stage = Stage(found)
    respond(stage, "GET", *fields)
    assert stage.asked == [asked]


@pytest.mark.parametrize("why", [why for why in RejectReason if why is not RejectReason.CROWDED])
def test_a_rejected_request_gets_retry_after_and_opens_nothing(why: RejectReason) -> None:
    """RFC 9110 sections 15.6.4 and 10.2.3."""
    stage = Stage(rejects=Rejected(why, 17))
    plan = respond(stage)
    assert (plan.status, dict(plan.fields)["Retry-After"], plan.spans) == (503, "17", ())
    assert stage.happened == ["located", "decided", "refused", "sent"]
    assert not plan.close  # the client may try again on this connection,
    stage = Stage(rejects=Rejected(why, 17))
    stage.accept_blocked = True
    assert respond(stage).close  # unless a new connection needs its memory


def test_a_rejection_after_a_wait_states_its_length() -> None:
    plan = respond(Stage(rejects=Rejected(RejectReason.LATE, 17, WaitReason.SLOTS, waited_seconds=1.5)))
    assert dict(plan.fields)["Server-Timing"] == "queue;dur=1500.0"
    assert "Server-Timing" not in dict(respond(Stage(rejects=Rejected(RejectReason.FULL, 17))).fields)


@pytest.mark.parametrize(("seconds", "said"), [(0.0, None), (0.25, "queue;dur=250.0"), (29.9996, "queue;dur=29999.6")])
def test_an_answer_after_a_wait_states_its_length_and_another_does_not(seconds: float, said: str | None) -> None:
    """Server-Timing, section 2: ``dur`` is in milliseconds."""
    assert dict(respond(Stage(waits=seconds)).fields).get("Server-Timing") == said


def test_a_file_that_changed_during_the_wait_is_located_again_with_the_same_slot() -> None:
    """Without the slot the request would wait again. The answer is the new file's, and states the wait."""
    longer = Resource("a.bin", 2000, 10**18 + 1, FILE.media_types, "key")
    stage = Stage(FILE, longer, opens=(FileChanged("replaced"), "reader"), waits=1.5)
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
def test_a_file_that_outgrew_the_express_lane_during_the_wait_leaves_that_lane(
    before: int, after: int, slots: list[int]
) -> None:
    """Otherwise huge downloads would hold the slots of small ones. An ordinary slot is good for a small answer too."""
    was, is_now = (Resource("a.bin", size, 10**18 + size, FILE.media_types, "key") for size in (before, after))
    stage = Stage(was, is_now, opens=(FileChanged("grown"), "reader"))
    assert respond(stage).length == after
    assert [length for _, length, _ in stage.asked] == slots
    assert stage.held == []


@pytest.mark.parametrize(
    ("then", "fields", "status"),
    [
        (NotFound(NotFoundReason.ABSENT), (), 404),
        (EMPTY, (), 200),
        (Resource("a.bin", 2000, 10**18 + 1, FILE.media_types, "key"), (("range", "bytes=3000-"),), 416),
    ],
)
def test_an_answer_that_needs_no_slot_after_the_wait_is_sent_without_it(
    then: Resource | NotFound, fields: tuple[tuple[str, str], ...], status: int
) -> None:
    first = Resource("a.bin", 9000, 10**18, FILE.media_types, "key")
    stage = Stage(first, then, opens=(FileChanged("replaced"),))
    assert respond(stage, "GET", *fields).status == status
    assert stage.happened[3:] == ["opened", "located", "decided", "sent"]
    assert stage.held == []


@pytest.mark.parametrize(
    "error",
    [
        FileChanged("x"),
        ShortRead("x"),
        Stalled("x"),
        ClientDisconnected("x"),
        ShutdownTimeout("x"),
        OSError(5, "bad disk"),
        RuntimeError("a fault"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_slot_and_reader_are_returned_however_a_transfer_ends(error: BaseException) -> None:
    """A FileChanged during the body is not tried again: bytes have been sent."""
    stage = Stage(fails=error)
    with pytest.raises(type(error)):
        respond(stage)
    assert stage.held == []
    assert stage.happened.count("transferred") == 1


@pytest.mark.parametrize("error", [OSError(5, "bad disk"), RuntimeError("a fault"), asyncio.CancelledError()])
def test_the_slot_is_returned_when_the_open_fails(error: BaseException) -> None:
    stage = Stage(opens=(error,))
    with pytest.raises(type(error)):
        respond(stage)
    assert stage.held == []


@pytest.mark.parametrize("failing", ["locate", "open"])
@pytest.mark.parametrize(("method", "has_content"), [("GET", True), ("HEAD", False)])
def test_a_disk_that_fails_before_anything_was_sent_has_a_response(
    failing: str, method: str, has_content: bool
) -> None:
    """With the permission for the origin of the request; the log gets the reason."""
    bad = OSError(5, "bad disk")
    stage = Stage(bad if failing == "locate" else FILE, opens=(bad,))
    if (failing, method) == ("open", "HEAD"):
        assert respond(stage, method).status == 200  # it opens nothing
        return
    policy = AnswerPolicy(CorsPolicy(frozenset({"https://a.example"})))
    server: Any = FileServer(stage, stage, stage, stage, policy)  # type: ignore[arg-type]
    request = Request(method, "/a.bin", (("origin", "https://a.example"),), client_key="192.0.2.1")
    with pytest.raises(ReadFailed) as caught:
        asyncio.run(server.respond(request, None))
    plan = caught.value.plan
    assert (plan.status, plan.content, plan.close) == (500, has_content, True)
    assert ("Access-Control-Allow-Origin", "https://a.example") in plan.fields
    assert (caught.value.errno, caught.value.strerror) == (5, "bad disk")
    assert stage.held == [] and "sent" not in stage.happened
