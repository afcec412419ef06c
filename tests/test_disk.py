"""Jobs that wait for a disk take turns by client, and one kind of work or file system never waits for another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from freight.disk import LANES, DiskPool, Work
from freight.threads import OutOfThreads

PATIENCE_SECONDS = 10.0


@pytest.fixture
def pool() -> Iterator[DiskPool]:
    made = DiskPool()
    yield made
    made.close()


class Held:
    """Jobs that begin and do not end before ``go``, as on a disk that hangs."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = threading.Semaphore(0)

    def __call__(self) -> None:
        self.running.release()
        assert self.go.wait(PATIENCE_SECONDS)

    def fill(self, pool: DiskPool, work: Work, device: int = 0, client: str = "hog") -> list[Future[Any]]:
        """Take every thread of a lane."""
        jobs = [pool.submit(self, work=work, device=device, client=client) for _ in range(work.threads)]
        for _ in jobs:
            assert self.running.acquire(timeout=PATIENCE_SECONDS)
        return jobs


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.go.set()


def done(value: str, order: list[str]) -> Callable[[], None]:
    return lambda: order.append(value)


def test_a_job_has_its_result_or_its_error(pool: DiskPool) -> None:
    assert pool.submit(lambda: 7).result(PATIENCE_SECONDS) == 7
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(PATIENCE_SECONDS)
    assert pool.submit(lambda: 8).result(PATIENCE_SECONDS) == 8, "the thread outlives an error"


@pytest.mark.parametrize("other", [work for work in Work if work is not Work.LISTING])
def test_lookups_and_reads_do_not_wait_for_listings(pool: DiskPool, held: Held, other: Work) -> None:
    held.fill(pool, Work.LISTING)
    assert pool.submit(lambda: "read", work=other).result(PATIENCE_SECONDS) == "read"


@pytest.mark.parametrize("work", Work)
def test_one_file_system_does_not_wait_for_another(pool: DiskPool, held: Held, work: Work) -> None:
    held.fill(pool, work, device=1)
    assert pool.submit(lambda: "there", work=work, device=2).result(PATIENCE_SECONDS) == "there"


@pytest.mark.parametrize("work", Work)
def test_no_more_run_at_once_than_the_kind_has_threads(pool: DiskPool, held: Held, work: Work) -> None:
    held.fill(pool, work)
    one_more = pool.submit(held, work=work, client="other")
    assert not held.running.acquire(timeout=0.05)
    held.go.set()
    one_more.result(PATIENCE_SECONDS)


def test_a_client_with_one_job_is_next_whatever_another_has_queued(pool: DiskPool, held: Held) -> None:
    """Of one lane with one thread free, turns go round the clients."""
    held.fill(pool, Work.READ)
    order: list[str] = []
    jobs = [pool.submit(done(f"hog {number}", order), work=Work.READ, client="hog") for number in range(20)]
    jobs += [pool.submit(done(name, order), work=Work.READ, client=name) for name in ("a", "b")]
    held.go.set()
    for job in jobs:
        job.result(PATIENCE_SECONDS)
    last = max(order.index("a"), order.index("b"))
    assert last <= 2 + Work.READ.threads, order  # threads append in any order, but no more of them are ahead


def test_a_cancelled_job_leaves_the_queue_at_once_and_never_runs(pool: DiskPool, held: Held) -> None:
    held.fill(pool, Work.LOOKUP)
    ran: list[str] = []
    jobs = [pool.submit(done("dead", ran), client="gone") for _ in range(100)]
    assert pool.queued == 100
    assert all(job.cancel() for job in jobs)
    assert pool.queued == 0
    after = pool.submit(done("alive", ran))
    held.go.set()
    after.result(PATIENCE_SECONDS)
    assert ran == ["alive"]


def test_a_job_that_has_begun_is_not_cancelled(pool: DiskPool, held: Held) -> None:
    jobs = held.fill(pool, Work.LOOKUP)
    assert not any(job.cancel() for job in jobs)
    held.go.set()
    for job in jobs:
        job.result(PATIENCE_SECONDS)


def test_closing_cancels_what_has_not_begun_and_waits_for_nothing(pool: DiskPool, held: Held) -> None:
    running, waiting = held.fill(pool, Work.READ), pool.submit(int, work=Work.READ)
    pool.close()
    assert waiting.cancelled() and not any(job.done() for job in running)


def test_many_file_systems_share_threads_in_the_end(pool: DiskPool) -> None:
    """A tree of a thousand mounts must not have a thousand threads."""
    before = threading.active_count()
    for device in range(10 * LANES):
        assert pool.submit(lambda: 1, work=Work.LISTING, device=device).result(PATIENCE_SECONDS) == 1
    assert threading.active_count() - before <= LANES + Work.LISTING.threads


def test_where_no_thread_can_be_started_the_first_ones_go_on(pool: DiskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.start(5)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for work in Work:
        jobs = [pool.submit(lambda: "done", work=work, device=5) for _ in range(10)]
        assert [job.result(PATIENCE_SECONDS) for job in jobs] == ["done"] * 10
    with pytest.raises(OutOfThreads):
        pool.submit(lambda: "never", device=6)
    assert pool.queued == 0
    for work in (Work.READ, Work.LISTING):  # of an answer that has begun: it is not to be cut
        job = pool.submit(lambda: "done", work=work, device=6)
        assert job.result(PATIENCE_SECONDS) == "done"


def test_what_the_server_itself_needs_is_done_without_a_thread_too(
    pool: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert asyncio.run(pool.run(threading.current_thread)) is threading.current_thread()
