"""The whole flow of one exchange. Read this file first.

A request passes five steps, in this order: locate, decide, admit, open, transfer. Where access is limited, the guard
checks it before them.

The first two steps keep nothing open, so a request that ends early (304, 404, 412, HEAD) never holds a descriptor.
Admission comes before opening, so a queued request holds no descriptor, no buffer and no send window.

A request that equals an earlier one but for its range may be answered without these steps, by :mod:`freight.repeats`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from freight.errors import FileChanged
from freight.flow.gate import Gate
from freight.flow.slot import Slot, lane_of
from freight.flow.transfers import Transfers
from freight.http.cors import CorsPolicy
from freight.http.decide import plan_rejection, plan_response, plan_unreadable, trimmed, with_queue_timing
from freight.http.error_response import for_method, plan_error
from freight.http.target import Target, encode, parse
from freight.memory.budget import Lane
from freight.model import NotFound, NotFoundReason, Plan, Rejected, Request, Resource
from freight.protocols import Clock, Reader, ReadFailed, Remember, Sink, Source
from freight.repeats import Repeatable, is_repeatable

if TYPE_CHECKING:  # loaded where they are made, if they are needed
    from freight.access.guard import Guard
    from freight.http.access import Access
    from freight.http.rules import Rule, Rules
    from freight.precompressed import Precompressed

_Found = TypeVar("_Found", Resource, Resource | NotFound)

# Without index.html, or with a directory of that name, the directory's own look-up decides.
_NO_INDEX = frozenset({NotFoundReason.ABSENT, NotFoundReason.MOVED})
_OPEN_ATTEMPTS = 8  # a file that is written all the time may change in the 50 us between its look-up and each open


class _Opened(NamedTuple):
    """A representation that is open, and the answer that it belongs to."""

    reader: Reader
    plan: Plan


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """What the operator has decided about answers.

    ``cors``: the pages that may read them by script. ``rules``: what is special about some paths; None if there are no
    rules. ``guard`` checks requests; None: everything is public.
    """

    cors: CorsPolicy
    rules: Rules | None = None
    guard: Guard | None = None

    @property
    def restricts(self) -> bool:
        """Whether some requests may not be permitted."""
        return self.guard is not None or (self.rules is not None and self.rules.restrict)

    def named(self, found: _Found, request: Request) -> _Found:
        """Return what was found, with the name that the request's link gives it."""
        return found if self.guard is None else self.guard.named(found, request)

    def granted(self, request: Request, plan: Plan) -> Plan:
        """Return an answer with what the permission of its request adds."""
        return plan if self.guard is None else self.guard.granted(request, plan)

    def apply(self, plan: Plan, request: Request) -> Plan:
        """Return an answer with all that the policy adds, whatever its path."""
        return self.cors.apply(self.granted(request, plan), request)


class FileServer:
    """Answers requests for what ``source`` has.

    ``policy`` may be replaced at any time. ``precompressed`` selects compressed forms of files; None: all files are
    sent as they are.
    """

    def __init__(
        self,
        source: Source,
        gate: Gate,
        transfers: Transfers,
        clock: Clock,
        policy: AnswerPolicy,
        precompressed: Precompressed | None = None,
    ) -> None:
        self.source = source
        self.gate = gate
        self.transfers = transfers
        self.clock = clock
        self.policy = policy
        self.precompressed = precompressed

    def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> Coroutine[Any, Any, bool]:
        """Answer one request. Return whether content was sent, which counts as a download.

        ``remember`` is called with the answer before its content is sent, if it can be sent again.

        Raise a TransferError, or OSError for a failing disk, when an answer that has begun cannot be finished. Raise
        ReadFailed if the disk failed before anything was sent.
        """
        if preflight := self.policy.cors.preflight(request):
            return self._send(preflight, sink)
        if not self.policy.restricts:
            return self._serve(request, sink, remember)
        return self._check_and_serve(request, sink)

    async def _check_and_serve(self, request: Request, sink: Sink) -> bool:
        checked = await self._check(request)
        if isinstance(checked, Plan):
            return await self._send(self.policy.cors.apply(checked, request), sink)
        serving = self._serve(checked, sink)
        del request, checked  # see below
        return await serving

    async def _check(self, request: Request) -> Request | Plan:
        """Check a request against the access of its path. All that could be served must be permitted."""
        rules, guard = self.policy.rules, self.policy.guard
        for access in (None,) if rules is None else self._accesses(rules, request):
            if guard is not None:
                checked = await guard.check(request, access, self.clock)
                if isinstance(checked, Plan):
                    return checked
                request = checked
            elif access is not None and not access.public:  # the rules were reloaded, and the users need a restart
                return for_method(request.method, plan_error(403, "Nobody may read this.", request.field("accept")))
        return request

    def _accesses(self, rules: Rules, request: Request) -> tuple[Access | None, ...]:
        """Return what the rules say about the clients that may read a target: all of it must permit a request.

        A compressed form has the content of its file, so it needs what the file needs too.
        """
        target = self._parse(request.target)
        original = None if self.precompressed is None else self.precompressed.original_of(target)
        return rules.access_of(target) + (() if original is None else rules.access_of(original))

    def _parse(self, text: str) -> Target | None:
        """Parse a target for the rules. The one file of a source has the rule of its name at ``/`` too."""
        target, only_file = parse(text), self.source.only_file
        if only_file and target is not None and not target.segments and not target.unresolvable:
            return Target((only_file,), False)
        return target

    async def _serve(self, request: Request, sink: Sink, remember: Remember | None = None) -> bool:
        """Answer a permitted request."""
        resource, plan = await self._locate(request)
        if isinstance(resource, NotFound) or not plan.spans:  # HEAD, 304, 404, 405, 412, 416 need no slot
            return await self._send(plan, sink)
        if self.gate.waiting:  # this one may wait too, and then holds as little as possible
            remember = None
        request = trimmed(request, () if self.precompressed is None else self.precompressed.fields)
        async with self.gate.slot(request.client_key, plan.length, resource.produced, sink) as slot:  # may wait
            if isinstance(slot, Rejected):
                return await self._send(self._rejection(request, resource, slot), sink)
            answer = await self._open(request, resource, plan, slot)
            if isinstance(answer, _Opened):
                with answer.reader:
                    if remember is not None and answer.plan is plan:
                        self._offer(request, resource, plan, remember)
                    transfer = self.transfers.transfer(answer.reader, answer.plan, sink, slot)
                    # Ten thousand of these frames may wait here for hours, so each drops what it no longer needs.
                    del request, resource, plan, answer, remember
                    await transfer
                    return True
        if answer is None:  # the slot has been returned, so the request can wait for one of the other lane
            return await self._serve(request, sink, remember)
        return await self._send(answer, sink)

    def _offer(self, request: Request, resource: Resource, plan: Plan, remember: Remember) -> None:
        """Offer an answer that is about to be sent, if equal requests get the same and nobody is checked."""
        if resource.size is None or not is_repeatable(request, resource, plan):
            return
        kept = self.source.keep_open(resource)
        if kept is not None:
            policy = self.policy

            def is_valid() -> bool:
                return self.policy is policy

            remember(Repeatable(plan, resource.size, kept, self.gate, self.transfers, is_valid))

    async def answer_absence(self, request: Request, absence: NotFound, sink: Sink) -> bool:
        """Answer a request that is not for the source, such as one outside of a prefix. Return False: no download."""
        return await self._send(self._plan(request, absence), sink)

    async def _send(self, plan: Plan, sink: Sink) -> bool:
        """Send an answer that is no download. Return False."""
        await self.transfers.send(plan, sink)
        return False

    async def _locate(self, request: Request) -> tuple[Resource | NotFound, Plan]:
        try:
            if self.policy.rules is not None:
                return await self._locate_by(self.policy.rules, request)
            resource = await self._look_up(request, request.target)
        except OSError as error:
            raise self._failure(error, request) from error
        resource = self.policy.named(resource, request)
        return resource, self._plan(request, resource)

    async def _look_up(self, request: Request, target: str, *, revealed: bool = False) -> Resource | NotFound:
        """Return what is at a target, in the form that the request gets. Nothing stays open."""
        found = await self.source.locate(target, request.client_key, revealed=revealed)
        if self.precompressed is not None and isinstance(found, Resource) and found.coding:
            return await self.precompressed.select(request, found)
        return found

    async def _locate_by(self, rules: Rules, request: Request) -> tuple[Resource | NotFound, Plan]:
        """Locate by the first rule that matches. The index of a directory has the rule of its own path."""
        target = self._parse(request.target)
        rule = rules.find(target)
        if target is not None and target.directory and rule.index in ("index.html", "index.html-only"):
            index = rules.index_of(target)
            own = rules.find(index)
            found = await self._look_up(request, encode(index.segments, False), revealed=own.reveals(index))
            if not (isinstance(found, NotFound) and found.reason in _NO_INDEX):
                return self._plan_by_rule(request, found, own, as_index=True)
        found = await self._look_up(request, request.target, revealed=target is not None and rule.reveals(target))
        if isinstance(found, Resource) and not found.name and rule.index in ("none", "index.html-only"):
            found = NotFound(NotFoundReason.ABSENT)
        return self._plan_by_rule(request, found, rule, as_index=False)

    def _plan_by_rule(
        self, request: Request, found: Resource | NotFound, rule: Rule, *, as_index: bool
    ) -> tuple[Resource | NotFound, Plan]:
        if isinstance(found, NotFound):
            return found, self._plan(request, found)
        found = self.policy.named(rule.describe(found, as_index=as_index), request)
        return found, self.policy.granted(request, rule.apply(self._plan(request, found), found))

    def _plan(self, request: Request, resource: Resource | NotFound) -> Plan:
        plan = plan_response(request, resource, self.clock.now())  # pure: only http.decide picks a status
        return self.policy.apply(plan, request)

    async def _open(self, request: Request, resource: Resource, plan: Plan, slot: Slot) -> _Opened | Plan | None:
        """Open the representation. When the file is replaced after it was located, locate it again.

        Return a plan when there is nothing to open any more. Return None when the answer has outgrown the slot's lane.
        """
        for attempt in range(_OPEN_ATTEMPTS):
            if attempt:
                found, plan = await self._locate(request)
                if isinstance(found, NotFound) or not plan.spans:
                    return plan
                if slot.lane is not Lane.ORDINARY and lane_of(plan.length, found.produced) is Lane.ORDINARY:
                    return None
                resource = found
            try:
                reader = await self.source.open(resource, plan.media_type, request.client_key)
            except FileChanged:  # no byte has been sent, so another attempt is safe
                continue
            except OSError as error:
                raise self._failure(error, request) from error
            if isinstance(reader, NotFound):
                return self._plan(request, reader)
            return _Opened(reader, _timed(plan, slot.waited_seconds))
        return self._plan(request, NotFound(NotFoundReason.BUSY))

    def _failure(self, error: OSError, request: Request) -> ReadFailed:
        return ReadFailed(error, self.policy.apply(plan_unreadable(request), request))

    def _rejection(self, request: Request, resource: Resource, rejected: Rejected) -> Plan:
        plan = self.policy.apply(plan_rejection(request, rejected, resource), request)
        if self.gate.accept_blocked:  # a connection that waits to be accepted needs the memory of this one
            plan = replace(plan, close=True)
        return _timed(plan, rejected.waited_seconds)


def _timed(plan: Plan, waited_seconds: float) -> Plan:
    return with_queue_timing(plan, waited_seconds) if waited_seconds else plan
