"""What the lab reads of a process, of a port and of a file is what the kernel says of it elsewhere."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freight.lab.gauge import available_bytes, cached_bytes, cpu_seconds, family, machine, memory_bytes
from freight.lab.queues import receive_queues, send_queues
from processes import running
from serving import until

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
        (small_private, small_pss), (large_private, large_pss) = memory_bytes(small.pid), memory_bytes(large.pid)
        assert 63 * MIB <= large_private - small_private <= 70 * MIB  # what both have of Python differs a little
        assert small_private <= small_pss < large_pss


def test_pages_of_a_file_that_a_process_only_reads_are_not_its_own(tmp_path: Path) -> None:
    """They are "private" while no other process maps the file, and the kernel can drop them: they cost nothing."""
    path = tmp_path / "mapped"
    path.write_bytes(b"x" * (32 * MIB))
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not on disk yet cannot be dropped, and counts
    read = (
        "import mmap, sys\nfile = open(sys.argv[1], 'rb')\nmapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
    )
    with program(read + "total = sum(mapped[::4096])", str(path)) as reader, program("import mmap") as other:
        (private, pss), (other_private, other_pss) = memory_bytes(reader.pid), memory_bytes(other.pid)
        assert pss - other_pss > 24 * MIB  # it has mapped them
        assert abs(private - other_private) < 4 * MIB


def test_cpu_time_is_what_the_process_says_itself_with_its_threads() -> None:
    burn = "import sys, threading, time\ndef f():\n while time.thread_time() < 0.2: pass\n"
    burn += "t = threading.Thread(target=f); t.start(); t.join()\nspent = time.process_time()"
    with program(burn + "\nprint(spent, flush=True)") as process:
        assert 0.2 <= cpu_seconds(process.pid) < 2
        before = cpu_seconds(process.pid)
        assert cpu_seconds(process.pid) - before < 0.01  # it waits


def test_the_children_of_a_process_count_and_one_that_has_gone_is_nothing() -> None:
    start = "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)"
    with program(start) as process:
        assert len(family(process.pid)) == 2
    assert memory_bytes(process.pid) == (0, 0)
    assert cpu_seconds(process.pid) == 0


def test_send_queues_are_what_the_socket_itself_is_told() -> None:
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

            until(lambda: send_queues(port) == [told()], "both say the same")  # segments are still on their way
            assert told() > 65536

            def queued() -> int:
                return int(struct.unpack("9I", client.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[RMEM_ALLOC])

            until(lambda: receive_queues(port) == [queued()], "both say the same of the client's side")
            assert queued() > 4096
            assert client.fileno() >= 0
    assert send_queues(port) == []


def test_cached_bytes_are_those_of_the_file_that_have_been_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (4 * MIB + 1))
    assert cached_bytes(path) == 4 * MIB + 1
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert cached_bytes(path) <= MIB  # a tmpfs would keep all of it, and none of a file is a disk's choice
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), MIB, MIB)
    assert MIB <= cached_bytes(path) <= 2 * MIB


def test_the_machine_is_described_and_not_named() -> None:
    found = machine()
    assert set(found) == {"cpu", "cores", "memory_bytes", "kernel", "sysctl"}
    assert socket.gethostname() not in str(found)
    assert 0 < available_bytes() <= int(str(found["memory_bytes"]))
