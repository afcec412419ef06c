"""The innermost step: what happens when a socket can take bytes. No coroutine runs here and nothing is held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

from freight.errors import ShortRead
from freight.flow.budget import FAR_SECONDS, FAST_WINDOW, WINDOW_MIN, Budget
from freight.flow.gate import Slot
from freight.flow.rates import Rates
from freight.flow.rounds import Rounds
from freight.flow.waiting import Waiting
from freight.flow.warm import Warmer, resident
from freight.model import Span
from freight.ports import Reader, Sink

_SEGMENT = 62 * 1024
CALLS = (3 * _SEGMENT + 2048, 2 * _SEGMENT, _SEGMENT)
"""What a turn hands over, in bytes, the most that there is room for. Just below one, two and
three of the loopback's segments (65,483 bytes): a small rest of a segment costs as much as a whole one, so that these
are up to twice as fast as sizes in between. docs/decisions/007 has the measurement."""

_CALL = CALLS[0]

_MARKS = tuple(window - 8 * 1024 for window in (2 * 208 * 1024, FAST_WINDOW, 128 * 1024, 64 * 1024, WINDOW_MIN))
"""Send buffers, in bytes, the largest that a window has room for: the kernel wakes us when a third is free."""

MARK_MIN = _MARKS[-1]
"""The send buffer of who has no slot, or the least window, in bytes."""

_MARK_LEAST = 4 * 1024
_SPLIT = 1024  # what the bookkeeping may yet grow by, when a packet is cut to fit a small receive window
_OVERHEAD = 5 * 512  # what the kernel's bookkeeping may add to a call, in bytes, and a little that windows do not fill
_OVERHEAD_SHARE = 40  # and for each so many bytes of it, one more
_LEAST_SHARE = 4  # room for less than such a share of the window is not worth a call
_FETCH_BYTES = 4 * 1024 * 1024  # the most a thread fetches at a time: others wait for it meanwhile
_LOOK_BYTES = 4 * 1024 * 1024  # how far ahead a look into the page cache goes
_CHECK_BYTES = 2 * 1024 * 1024  # how far a file is sent between two looks whether it is still the same
_WARM_SECONDS = 1.0  # how long a look into the page cache is believed
_LOOKS_A_ROUND_TRIP = 8  # where no mark wakes us: a window of two round trips' bytes is refilled in good time
_LOOK_MOST_SECONDS = 0.5  # the longest between two of those looks
_SHORT_SECONDS = 0.01  # how long one rests that finds no memory at all: others' loans come back meanwhile


class Pump(Waiting):
    """Sends literals and spans of a file, a bounded chunk per readiness."""

    __slots__ = (
        "_budget",
        "_check_at",
        "_fd",
        "_fetching_since",
        "_literal",
        "_mark",
        "_rates",
        "_reader",
        "_resting",
        "_roomy",
        "_segments",
        "_sent_at",
        "_slot",
        "_start",
        "_stop",
        "_warm_at",
        "_warm_stop",
        "_warmer",
        "disk_seconds",
        "moved",
        "window",
    )

    def __init__(
        self,
        fd: int,
        reader: Reader,
        segments: Iterator[bytes | Span],
        sink: Sink,
        slot: Slot,
        budget: Budget,
        warmer: Warmer,
        rates: Rates,
    ) -> None:
        super().__init__(sink)
        self._fd = fd
        self._reader = reader
        self._segments = segments
        self._slot = slot
        self._budget = budget
        self._warmer = warmer
        self._rates = rates
        self._literal = b""  # what goes next,
        self._start = self._stop = 0  # and the span behind it
        self._warm_stop, self._warm_at = 0, 0.0  # up to there the span was in memory at that time
        self._check_at = 0
        self._fetching_since = 0.0  # 0: no thread reads for it
        self._resting = False  # by a rate of ours, or for want of memory
        self._sent_at = monotonic()
        self._roomy = -1  # with so much or less in the kernel there is room for the largest call
        self._mark: int | None = 0  # none of ours yet
        self.moved = 0  # bytes of spans
        self.window = -1  # what its mark was chosen for, in bytes
        self.disk_seconds = 0.0

    def step(self) -> bool:
        """See :class:`Waiting`. Raises Changed and ShortRead: what was promised is no longer there."""
        if self._fetching_since:
            return False
        sink, budget = self.sink, self._budget
        account, held = sink.account, sink.held()
        # It has been lent a whole window, and its client has room for one: nothing need be asked or counted.
        whole = account.room >= FAST_WINDOW == account.base + account.over
        window = FAST_WINDOW if whole else budget.window(sink, held)
        # The usual turn, of thousands, comes first: in the midst of a span, all is as it was, and there is room.
        start, stop = self._start, self._start + _CALL
        if (
            window == self.window
            and held <= self._roomy
            and stop < self._stop
            and stop <= self._warm_stop
            and (now := monotonic()) - self._warm_at <= _WARM_SECONDS
        ):
            self._sent_at = now
            if start >= self._check_at:
                self._check()
            taken = sink.sendfile(self._fd, start, _CALL)
            self._start = start + taken
            self.moved += taken
            account.room -= taken
            if not whole:
                budget.note(sink, window if budget.ample else sink.held() + _SPLIT)
            if not taken:
                raise ShortRead("the file ended before its length")
            return False
        return self._step_slowly(held, window)

    def _step_slowly(self, held: int, window: int) -> bool:
        """Any turn."""
        room = self._room(held, window)
        given = 0
        try:
            while given < room:
                if self._literal:
                    # A span behind it shares its packet; nothing behind it, and the kernel would hold it back.
                    taken = self.sink.send(self._literal, self._start < self._stop)
                    self._literal = self._literal[taken:]
                    given += taken
                elif self._start < self._stop:
                    count = self._ready_bytes(room - given)
                    if not count:
                        return False
                    taken = self._hand_over(count)
                    given += taken
                    if taken < count or self._start < self._stop:
                        return False  # the kernel is full, or it has had its turn
                elif not self._next():
                    return True
            return False
        except BlockingIOError:
            if not given:
                raise
            return False
        finally:
            if given:
                self._sent_at = monotonic()
                self.sink.account.room -= given
            # Asked again: with a tiny receive buffer the bookkeeping is as much as the bytes, mostly it is little.
            self._budget.note(self.sink, self.sink.held() + _SPLIT if given else held)
            if given and self._rates.bound:
                self._rates.took(self._slot.key, given, self._sent_at)

    def _room(self, held: int, window: int) -> int:
        """How much may be handed over now; when it is nothing, what wakes us next has been seen to."""
        self._resting = False
        self._roomy = -1
        usable = window - window // _OVERHEAD_SHARE - _OVERHEAD
        room = usable - held
        if room < window // _LEAST_SHARE and (room <= 0 or self._stop - self._start > room):
            self._wait_room(held)
            return 0
        room = next((size for size in CALLS if size <= room), room)
        if window != self.window or window > FAST_WINDOW:
            self._choose_mark(window, held)
        if self._rates.bound:
            allowed, seconds = self._rates.allowance(self._slot.key, monotonic())
            if not allowed:
                self._rest(seconds)
            room = min(room, allowed)
        elif window <= FAST_WINDOW:
            self._roomy = usable - _CALL
        return room

    def _choose_mark(self, window: int, held: int) -> None:
        """Have the kernel wake us in time: small queues are cheapest, larger ones are for links that fill them."""
        self.window = window
        if window > _MARKS[0] + 8 * 1024:
            self._wake_below(None)  # only root may set a larger one; the kernel's own grows with the path
            return
        mark = next((mark for mark in _MARKS if mark + 8 * 1024 <= window), _MARKS[-1])
        if mark > _MARKS[1] and self._mark != mark and not (self._mark and held > self._mark // 2):
            mark = _MARKS[1]
        self._wake_below(mark)

    def _wait_room(self, held: int) -> None:
        """Go on when half of what is queued has gone, all of it where more than its own window was lent.

        Where nothing is queued, it is memory that is short: a little later.
        """
        if self._mark is None and held > WINDOW_MIN:
            self._look_later()
            return
        self.window = -1  # another mark than the window's
        if held > WINDOW_MIN:
            self._wake_below(_MARK_LEAST)
        elif held > 2 * _MARK_LEAST:
            self._wake_below(max(_MARK_LEAST, held * 3 // 4))
        else:
            self._rest(_SHORT_SECONDS)

    def _look_later(self) -> None:
        """Look again after a part of a round trip: the kernel's own mark would wake us all the time.

        Later where the client has had nothing for longer than a round trip: hundreds that stall cost next to nothing.
        It is the client that is waited for, so this is no rest of ours (:meth:`held_up`).
        """
        if self._rounds is not None:
            quiet = min(monotonic() - self._sent_at, _LOOK_MOST_SECONDS * _LOOKS_A_ROUND_TRIP)
            seconds = max(self.sink.path()[0], FAR_SECONDS, quiet) / _LOOKS_A_ROUND_TRIP
            self._rounds.rest(self.sink.fileno(), seconds)

    def _wake_below(self, mark: int | None) -> None:
        self._mark = mark
        self.sink.bound(mark)  # asked each time: another stream of the connection may have set another

    def _rest(self, seconds: float) -> None:
        self._resting = True
        if self._rounds is not None:
            self._rounds.rest(self.sink.fileno(), seconds)

    def begin(self, loop: asyncio.AbstractEventLoop, rounds: Rounds) -> asyncio.Future[None]:
        """See :class:`Waiting`."""
        done = super().begin(loop, rounds)
        if self._fetching_since:
            self.pause()
        elif self._resting:
            self._rest(_SHORT_SECONDS)
        return done

    def _next(self) -> bool:
        """Take the next literal and the span behind it, or either. False: there is no more."""
        segment = next(self._segments, None)
        if isinstance(segment, bytes):
            self._literal = segment
            segment = next(self._segments, None)
        if isinstance(segment, Span):
            assert segment.stop is not None  # a file's size is known, and the wire resolved the span by it
            self._start, self._stop = segment.start, segment.stop
            self._warm_stop = self._check_at = segment.start
        return bool(self._literal) or self._start < self._stop

    def _check(self) -> None:
        """Look whether the file is still the same: now and then."""
        self._reader.check()
        self._check_at = self._start + _CHECK_BYTES

    def _hand_over(self, count: int) -> int:
        # Before the last bytes too, and behind them: a file rewritten meanwhile must not end whole.
        if self._start >= self._check_at or self._start + count == self._stop:
            self._check()
        taken = self.sink.sendfile(self._fd, self._start, count)
        if taken == 0:
            raise ShortRead("the file ended before its length")
        self._start += taken
        self.moved += taken
        if self._start == self._stop:
            self._reader.check()
        return taken

    def _ready_bytes(self, room: int) -> int:
        """How many of the next ``room`` bytes of the span are in memory; none: a thread has been sent for them."""
        start = self._start
        stop = min(self._stop, start + room)
        now = monotonic()
        if stop <= self._warm_stop and now - self._warm_at <= _WARM_SECONDS:
            return stop - start
        known = max(start, self._warm_stop) if now - self._warm_at <= _WARM_SECONDS else start
        # Further than this call when it is hot: not a look for each small window.
        for ahead in (min(self._stop, max(stop, start + _LOOK_BYTES)), stop):
            if resident(self._fd, known, ahead):
                self._warm_stop, self._warm_at = ahead, now
                return stop - start
        self._fetch()
        return 0

    def _fetch(self) -> None:
        # Should the transfer end meanwhile, the thread reads on, and what it reads goes nowhere.
        self._fetching_since = monotonic()
        stop = min(self._stop, self._start + _FETCH_BYTES)
        self._warmer.fetch(
            self._fd, self._start, stop, self._reader.device, self._slot.key, lambda error: self._fetched(stop, error)
        )
        self.pause()

    @property
    def fetching(self) -> bool:
        """Whether it waits for the disk."""
        return self._fetching_since > 0

    def held_up(self) -> bool:
        """See :class:`Waiting`: by our disk, by a rate of ours, or for want of memory."""
        return bool(self._fetching_since) or self._resting

    def _fetched(self, stop: int, error: OSError | None) -> None:
        now = monotonic()
        self.disk_seconds += now - self._fetching_since
        self._fetching_since = 0.0
        if error is not None:
            self.end(error)
            return
        # Believed without asking: under memory pressure it may be gone again, and asking would go round for ever.
        self._warm_stop, self._warm_at = stop, now
        self.resume()
