"""Readings of a process, a port and a file agree with other interfaces of the kernel."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from freight.tools.loadgen.gauge import (
    MemoryUse,
    available_bytes,
    cached_bytes,
    cpu_seconds,
    cpu_times,
    evict,
    machine,
    memory_of,
    memory_of_tree,
    parse_cpu_times,
    process_tree,
    receive_queues,
    send_queues,
    socket_memory,
)
from support.processes import run, running
from support.servers import wait_until

MIB = 1 << 20
SO_MEMINFO, RMEM_ALLOC, WMEM_QUEUED = 55, 0, 5


@contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has run ``text``, and waits."""
    words = [sys.executable, "-c", f"{text}\nprint(flush=True)\ninput()", *arguments]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_private_memory_is_what_a_process_has_written() -> None:
    with program("") as small, program(f"held = bytearray(b'x' * {64 * MIB})") as large:
        less, more = memory_of(small.pid), memory_of(large.pid)
        assert 63 * MIB <= more.private_dirty - less.private_dirty <= 70 * MIB  # what both have of Python differs a bit
        assert 63 * MIB <= more.written - less.written <= 70 * MIB
        assert less.written <= less.private_dirty <= less.unique <= less.pss < more.pss


def test_pages_of_a_file_that_a_process_only_reads_are_not_its_own(tmp_path: Path) -> None:
    """Clean pages are "private" while no other process maps the file, but the kernel can drop them."""
    path = tmp_path / "mapped"
    path.write_bytes(b"x" * (32 * MIB))
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not on disk yet cannot be dropped, and counts
    read = (
        "import mmap, sys\nfile = open(sys.argv[1], 'rb')\nmapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
    )
    with program(read + "total = sum(mapped[::4096])", str(path)) as reader, program("import mmap") as other:
        mine, others = memory_of(reader.pid), memory_of(other.pid)
        assert mine.pss - others.pss > 24 * MIB  # it has mapped them
        assert mine.unique - others.unique > 24 * MIB
        assert abs(mine.private_dirty - others.private_dirty) < 4 * MIB
        assert abs(mine.written - others.written) < 4 * MIB


def test_cpu_time_is_what_the_process_says_itself_with_its_threads() -> None:
    burn = "import sys, threading, time\ndef f():\n while time.thread_time() < 0.2: pass\n"
    burn += "t = threading.Thread(target=f); t.start(); t.join()\nspent = time.process_time()"
    with program(burn + "\nprint(spent, flush=True)") as process:
        assert 0.2 <= cpu_seconds(process.pid) < 2
        before = cpu_seconds(process.pid)
        assert cpu_seconds(process.pid) - before < 0.01  # it waits


def test_children_of_a_process_count_and_an_ended_one_does_not() -> None:
    start = "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)"
    with program(start) as process:
        assert len(process_tree(process.pid)) == 2
    assert memory_of_tree(process.pid) == MemoryUse()
    with pytest.raises(OSError, match=str(process.pid)):
        memory_of(process.pid)
    assert cpu_seconds(process.pid) == 0


def test_send_queues_equal_what_the_socket_reports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 20) as client, listener.accept()[0] as ours:
            assert send_queues(port) == [0]
            ours.setblocking(False)
            try:
                while True:
                    ours.send(b"x" * 65536)
            except BlockingIOError:
                pass

            def told() -> int:
                return int(struct.unpack("9I", ours.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[WMEM_QUEUED])

            wait_until(lambda: send_queues(port) == [told()], "both say the same")  # segments are still on their way
            assert told() > 65536

            def queued() -> int:
                return int(struct.unpack("9I", client.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[RMEM_ALLOC])

            wait_until(lambda: receive_queues(port) == [queued()], "both say the same of the client's side")
            assert queued() > 4096
            assert client.fileno() >= 0
    assert send_queues(port) == []


@pytest.mark.needs("ss")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_socket_memory_equals_what_ss_reports(family: socket.AddressFamily, host: str) -> None:
    """The independent control of the readings that the load tests depend on."""
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((host, port), 20) as client, listener.accept()[0] as ours:
            ours.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    ours.send(b"x" * 65536)

            def shown() -> list[int]:
                words = ["ss", "-tmnH", "state", "connected", "sport", "=", f":{port}"]
                text = run(*words, seconds=20).stdout
                return [int(number) for number in re.findall(r"\d+", text[text.index("skmem:") :])]

            wait_until(lambda: shown() == list(socket_memory(port, family)[0]), "both report the same")
            assert socket_memory(port, family)[0].wmem_queued > 65536
            assert client.fileno() >= 0


def test_cached_bytes_are_those_of_the_file_that_have_been_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (4 * MIB + 1))
    assert cached_bytes(path) == 4 * MIB + 1
    evict(path)
    with path.open("rb") as file:
        assert cached_bytes(path) <= MIB  # a tmpfs would keep all of it, and none of a file is a disk's choice
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), MIB, MIB)
    assert MIB <= cached_bytes(path) <= 2 * MIB


def test_the_machine_is_described_and_not_named() -> None:
    found = machine()
    assert set(found) == {"cpu", "cores", "memory_bytes", "kernel", "sysctl"}
    assert socket.gethostname() not in str(found)
    assert 0 < available_bytes() <= int(str(found["memory_bytes"]))


def test_the_time_of_the_machine_includes_interrupts_but_not_idle_iowait_or_steal() -> None:
    times = parse_cpu_times("cpu  1 2 4 1000 1000 8 16 1000 1 2\ncpu0 1 2 4 1000 1000 8 16\nintr 1 2\n")
    ticks = os.sysconf("SC_CLK_TCK")
    assert list(times) == ["cpu", "cpu0"]
    assert times["cpu"].active == times["cpu0"].active == pytest.approx(31 / ticks)
    assert times["cpu"].processes == pytest.approx(7 / ticks)
    assert (times["cpu"].steal, times["cpu0"].steal) == (1000 / ticks, 0)
    assert cpu_times()["cpu"].active > 0
