"""Jobs that wait for a disk take turns by client, and one kind of work or file system never waits for another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from freight.errors import DiskTimeout
from freight.sources import disk_pool, disk_queue
from freight.sources.disk_pool import MAX_QUEUES, DiskPool, Home, Work
from freight.threads import OutOfThreads
from support.servers import wait_until

TIMEOUT_SECONDS = 10.0


class BlockedJob:
    """A job that starts and does not end before ``go``, as on a disk that hangs."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = threading.Semaphore(0)

    def __call__(self) -> None:
        self.running.release()
        assert self.go.wait(TIMEOUT_SECONDS)

    def fill(self, pool: DiskPool, work: Work, device: int = 0) -> list[Future[Any]]:
        """Occupy every thread of a queue."""
        jobs = [pool.submit(self, work=work, device=device, client="hog") for _ in range(work.threads)]
        for _ in jobs:
            assert self.running.acquire(timeout=TIMEOUT_SECONDS)
        return jobs


@pytest.fixture
def blocked() -> Iterator[BlockedJob]:
    made = BlockedJob()
    yield made
    made.go.set()


def append(value: str, order: list[str]) -> Callable[[], None]:
    return lambda: order.append(value)


def test_a_job_has_its_result_or_its_error(pool: DiskPool) -> None:
    assert pool.submit(lambda: 7).result(TIMEOUT_SECONDS) == 7
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(TIMEOUT_SECONDS)
    assert pool.submit(lambda: 8).result(TIMEOUT_SECONDS) == 8, "the thread outlives an error"


@pytest.mark.parametrize("other", [work for work in Work if work is not Work.LISTING])
def test_lookups_and_reads_do_not_wait_for_listings(pool: DiskPool, blocked: BlockedJob, other: Work) -> None:
    blocked.fill(pool, Work.LISTING)
    assert pool.submit(lambda: "read", work=other).result(TIMEOUT_SECONDS) == "read"


@pytest.mark.parametrize("work", Work)
def test_one_file_system_does_not_wait_for_another(pool: DiskPool, blocked: BlockedJob, work: Work) -> None:
    blocked.fill(pool, work, device=1)
    assert pool.submit(lambda: "there", work=work, device=2).result(TIMEOUT_SECONDS) == "there"


@pytest.mark.parametrize("work", Work)
def test_no_more_run_at_once_than_the_kind_has_threads(pool: DiskPool, blocked: BlockedJob, work: Work) -> None:
    blocked.fill(pool, work)
    one_more = pool.submit(blocked, work=work, client="other")
    assert not blocked.running.acquire(timeout=0.05)
    blocked.go.set()
    one_more.result(TIMEOUT_SECONDS)


def test_a_client_with_one_job_is_next_however_many_another_has_queued(pool: DiskPool, blocked: BlockedJob) -> None:
    """Clients take turns in a queue."""
    blocked.fill(pool, Work.READ)
    order: list[str] = []
    jobs = [pool.submit(append(f"hog {number}", order), work=Work.READ, client="hog") for number in range(20)]
    jobs += [pool.submit(append(name, order), work=Work.READ, client=name) for name in ("a", "b")]
    blocked.go.set()
    for job in jobs:
        job.result(TIMEOUT_SECONDS)
    last = max(order.index("a"), order.index("b"))
    assert last <= 2 + Work.READ.threads, order  # the threads append in any order, but no other job came first


def test_a_cancelled_job_leaves_the_queue_at_once_and_never_runs(pool: DiskPool, blocked: BlockedJob) -> None:
    blocked.fill(pool, Work.LOOKUP)
    ran: list[str] = []
    jobs = [pool.submit(append("cancelled", ran), client="gone") for _ in range(100)]
    assert pool.queued == 100
    assert all(job.cancel() for job in jobs)
    assert pool.queued == 0
    after = pool.submit(append("kept", ran))
    blocked.go.set()
    after.result(TIMEOUT_SECONDS)
    assert ran == ["kept"]


def test_a_job_that_has_started_is_not_cancelled(pool: DiskPool, blocked: BlockedJob) -> None:
    jobs = blocked.fill(pool, Work.LOOKUP)
    assert not any(job.cancel() for job in jobs)
    blocked.go.set()
    for job in jobs:
        job.result(TIMEOUT_SECONDS)


def test_closing_cancels_jobs_that_have_not_started_and_waits_for_none(pool: DiskPool, blocked: BlockedJob) -> None:
    running, waiting = blocked.fill(pool, Work.READ), pool.submit(int, work=Work.READ)
    pool.close()
    assert waiting.cancelled() and not any(job.done() for job in running)


def test_very_many_file_systems_share_threads(pool: DiskPool) -> None:
    """A tree of a thousand mounts must not have a thousand threads."""
    before = threading.active_count()
    for device in range(10 * MAX_QUEUES):
        assert pool.submit(lambda: 1, work=Work.LISTING, device=device).result(TIMEOUT_SECONDS) == 1
    assert threading.active_count() - before <= MAX_QUEUES + Work.LISTING.threads


def test_the_first_threads_do_the_work_if_no_more_can_be_started(
    pool: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.start(Home(5))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for work in Work:
        jobs = [pool.submit(lambda: "done", work=work, device=5) for _ in range(10)]
        assert [job.result(TIMEOUT_SECONDS) for job in jobs] == ["done"] * 10
    with pytest.raises(OutOfThreads):
        pool.submit(lambda: "never", device=6)
    assert pool.queued == 0
    for work in (Work.READ, Work.LISTING):  # the response has started, so it must not fail
        job = pool.submit(lambda: "done", work=work, device=6)
        assert job.result(TIMEOUT_SECONDS) == "done"


def test_a_call_for_the_server_itself_runs_without_a_thread_too(
    pool: DiskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert asyncio.run(pool.run(threading.current_thread)) is threading.current_thread()


class Closable:
    """A result that must not be lost, such as an open file."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.closed.set()


@pytest.fixture
def impatient(pool: DiskPool) -> DiskPool:
    """A pool in which a call has taken too long as soon as it runs and ``expire`` is called."""
    pool.timeout_seconds = 0.0
    return pool


def lose(pool: DiskPool, hanging: BlockedJob, work: Work = Work.LOOKUP) -> Future[Any]:
    """Let a call hang until it is lost."""
    job = pool.submit(hanging, work=work, device=1)
    assert hanging.running.acquire(timeout=TIMEOUT_SECONDS)
    pool.expire()
    return job


def states(pool: DiskPool) -> list[tuple[int, int]]:
    return [(each.device, each.hung_calls) for each in pool.unresponsive()]


def test_a_call_that_takes_too_long_fails_and_its_late_result_is_closed(impatient: DiskPool) -> None:
    started, go, result = threading.Event(), threading.Event(), Closable()

    def late() -> Closable:
        started.set()
        assert go.wait(TIMEOUT_SECONDS)
        return result

    job = impatient.submit(late)
    assert started.wait(TIMEOUT_SECONDS)
    impatient.expire()
    with pytest.raises(DiskTimeout):
        job.result(0)
    assert impatient.timeouts == 1
    go.set()
    assert result.closed.wait(TIMEOUT_SECONDS)


@pytest.mark.parametrize("work", Work)
def test_a_file_system_is_unresponsive_from_a_lost_call_until_a_call_returns(
    impatient: DiskPool, blocked: BlockedJob, work: Work
) -> None:
    lose(impatient, blocked, work)
    assert states(impatient) == [(1, 1)]
    assert not impatient.admits(1)
    with pytest.raises(DiskTimeout):
        impatient.submit(int, work=work, device=1).result(0)
    assert impatient.admits(2) and impatient.a_home_answers
    assert impatient.submit(lambda: 7, work=work, device=2).result(TIMEOUT_SECONDS) == 7
    blocked.go.set()
    wait_until(lambda: impatient.admits(1), "the call has returned")
    assert states(impatient) == []
    assert impatient.submit(lambda: 7, work=work, device=1).result(TIMEOUT_SECONDS) == 7


def test_jobs_queued_behind_lost_calls_fail_with_them(impatient: DiskPool, blocked: BlockedJob) -> None:
    blocked.fill(impatient, Work.READ, device=1)
    queued = [impatient.submit(int, work=Work.READ, device=1) for _ in range(3)]
    impatient.expire()
    for job in queued:
        with pytest.raises(DiskTimeout):
            job.result(0)
    assert impatient.queued == 0


def test_one_call_that_hangs_while_others_return_makes_nothing_unresponsive(
    impatient: DiskPool, blocked: BlockedJob
) -> None:
    """One bad file must not make the others of its file system unavailable, nor take the threads from them."""
    for number in range(Work.LOOKUP.threads):
        job = impatient.submit(blocked, device=1)
        assert blocked.running.acquire(timeout=TIMEOUT_SECONDS)
        assert impatient.submit(lambda: 7, device=1).result(TIMEOUT_SECONDS) == 7
        impatient.expire()
        with pytest.raises(DiskTimeout):
            job.result(0)
        assert states(impatient) == [], number
    jobs = [impatient.submit(lambda: 7, device=1) for _ in range(10)]
    assert [job.result(TIMEOUT_SECONDS) for job in jobs] == [7] * 10


def test_a_probe_finds_out_that_a_file_system_answers_again(
    impatient: DiskPool, blocked: BlockedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_queue, "PROBE_SECONDS", 0.0)
    lose(impatient, blocked)
    assert impatient.admits(1), "a probe is due"
    assert impatient.submit(lambda: 7, device=1).result(TIMEOUT_SECONDS) == 7
    assert states(impatient) == []


def test_probes_that_hang_take_no_more_threads_than_a_bound(
    impatient: DiskPool, blocked: BlockedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_queue, "PROBE_SECONDS", 0.0)
    most = Work.LOOKUP.threads + disk_queue.SPARE_THREADS
    before = set(threading.enumerate())
    for _ in range(most):
        assert impatient.admits(1)
        lose(impatient, blocked)
    assert len(set(threading.enumerate()) - before) == most
    assert not impatient.admits(1), "no thread is left for a probe"
    with pytest.raises(DiskTimeout):
        impatient.submit(int, device=1).result(0)
    blocked.go.set()
    wait_until(lambda: impatient.admits(1), "a call has returned")
    usual = Work.LOOKUP.threads
    wait_until(lambda: len(set(threading.enumerate()) - before) <= usual, "the spare threads end")
    assert impatient.submit(lambda: 7, device=1).result(TIMEOUT_SECONDS) == 7


def test_home_is_probed_without_any_request(
    impatient: DiskPool, blocked: BlockedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer sends no request to a server whose /readyz fails."""
    monkeypatch.setattr(disk_queue, "PROBE_SECONDS", 0.0)
    probed = threading.Event()
    impatient.start(Home(1, probed.set))
    lose(impatient, blocked)
    assert probed.wait(TIMEOUT_SECONDS)
    wait_until(lambda: impatient.a_home_answers, "the probe has returned")


def test_a_call_that_reports_progress_is_not_too_slow(pool: DiskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over a large directory may take as long as it likes, while entries arrive."""
    now = [1000.0]
    monkeypatch.setattr(disk_queue, "monotonic", lambda: now[0])
    monkeypatch.setattr(disk_pool, "monotonic", lambda: now[0])
    pool.timeout_seconds = 10.0
    started, step, stepped, end = (threading.Event() for _ in range(4))

    def long_pass() -> str:
        started.set()
        assert step.wait(TIMEOUT_SECONDS)
        disk_queue.note_progress()
        stepped.set()
        assert end.wait(TIMEOUT_SECONDS)
        return "all"

    job = pool.submit(long_pass, work=Work.LISTING)
    assert started.wait(TIMEOUT_SECONDS)
    now[0] += 9.0
    step.set()
    assert stepped.wait(TIMEOUT_SECONDS)
    now[0] += 9.0
    pool.expire()
    end.set()
    assert job.result(TIMEOUT_SECONDS) == "all"


def test_calls_of_the_server_itself_do_not_wait_for_a_file_system(impatient: DiskPool, blocked: BlockedJob) -> None:
    """The admin listener imports what it needs while the served path hangs."""
    impatient.start(Home(1))
    blocked.fill(impatient, Work.LOOKUP, device=1)
    assert asyncio.run(impatient.run(lambda: 7)) == 7
