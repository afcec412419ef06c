"""Every wait of a test has a time limit, and a run of the tests ends by itself, whatever a test does."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import environment, is_running, run

HERE = Path(__file__).parent

# By the name of a call: how many positional arguments it has if the last of them is its limit.
METHODS = {"wait": 1, "join": 1, "result": 1}
WAITS: dict[str, int | None] = METHODS | {
    "subprocess.run": None,
    "subprocess.call": None,
    "subprocess.check_call": None,
    "subprocess.check_output": None,
    "create_connection": 2,
    "communicate": 2,
    "urlopen": 3,
    "HTTPConnection": 3,
    "HTTPSConnection": 3,
}
LIMITED = re.compile(r"\b(?:server|served|nodes?|self\.first)\b")
"""Names of a :class:`ServerProcess`: its ``wait`` has a limit of its own."""


def name_of(call: ast.Call) -> str:
    """Return the name of a call in ``WAITS``, or an empty string."""
    words = ast.unparse(call.func)
    last = words.rpartition(".")[2]
    return next((name for name in (words, last) if name in WAITS), "")


def has_limit(call: ast.Call, place: int | None) -> bool:
    """Return whether a call has a time limit, by name or as its argument number ``place``. A ``*`` may have it."""
    named = any(word.arg in (None, "timeout") for word in call.keywords)
    starred = any(isinstance(given, ast.Starred) for given in call.args)
    return named or starred or (place is not None and len(call.args) >= place)


def unlimited(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each call that may wait without a limit.

    A coroutine has that of its test (ASYNC_SECONDS), so the methods of events and tasks need none in an async function.
    """
    tree = ast.parse(source)
    coroutines = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    in_coroutines = {id(each) for node in coroutines for each in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not (name := name_of(node)) or has_limit(node, WAITS[name]):
            continue
        if name in METHODS:
            of = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if not of or id(node) in in_coroutines or LIMITED.search(of):
                continue
        yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_no_call_waits_without_a_limit(path: Path) -> None:
    assert list(unlimited(path.read_text(encoding="utf-8"))) == []


def test_only_processes_py_starts_processes() -> None:
    """There each has a session of its own, so that its descendants can be killed with it."""
    found = [
        f"{path.relative_to(HERE)}:{node.lineno}"
        for path in HERE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Popen")
    ]
    assert [place for place in found if not place.startswith("support/processes.py:")] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("subprocess.run(['sleep', '1'])", True),
        ("subprocess.run(['sleep', '1'], timeout=1)", False),
        ("subprocess.run(['sleep', '1'], **options)", False),
        ("process.communicate(data)", True),
        ("process.communicate(data, 5)", False),
        ("process.wait()", True),
        ("process.wait(5)", False),
        ("server.wait()", False),
        ("observer.wait()", True),
        ("thread.join()", True),
        ("', '.join(words)", False),
        ("future.result()", True),
        ("socket.create_connection(address)", True),
        ("socket.create_connection(address, 5)", False),
        ("async def test(): await event.wait()", False),
        ("async def test(): process.communicate()", True),
    ],
)
def test_a_wait_without_a_limit_is_found(source: str, found: bool) -> None:
    assert bool(list(unlimited(source))) is found


LEFT_BEHIND = """
import os, subprocess, sys, threading, time
import pytest
from support.processes import running, start_process

ORPHANED = "import os, sys, time; os.fork() and os._exit(0); os.setsid(); "
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
SLEEP = "print(os.getpid(), flush=True); time.sleep(600)"

def begin(code):
    process = start_process([sys.executable, "-c", "import os, time; " + code], stdout=subprocess.PIPE)
    with open("pids", "ab") as pids:
        pids.write(process.stdout.readline())
    return process

def test_that_fails_and_leaves_a_successor():
    begin(ORPHANED + SLEEP)
    assert not "failed"

def test_whose_child_ignores_sigterm():
    with running([sys.executable, "-c", "import os, time; " + DEAF + SLEEP], stdout=subprocess.PIPE) as child:
        with open("pids", "ab") as pids:
            pids.write(child.stdout.readline())
        child.terminate()
        child.wait(600)

def test_that_reads_a_pipe_which_an_orphan_has():
    begin(ORPHANED + DEAF + SLEEP).stdout.read()

def test_whose_thread_reads_a_pipe_which_an_orphan_has():
    threading.Thread(target=begin(ORPHANED + SLEEP).stdout.read).start()
    assert not "failed"

def test_whose_thread_never_ends():
    threading.Thread(target=time.sleep, args=(600,)).start()
    assert not "failed"

def test_that_is_stuck_in_c():
    import collections, itertools
    collections.deque(itertools.repeat(0), maxlen=0)

@pytest.fixture
def endless():
    yield
    time.sleep(600)

def test_whose_fixture_never_ends(endless):
    pass

async def test_that_awaits_for_ever():
    await __import__("asyncio").sleep(600)

def test_that_passes():
    pass
"""
NAMES = re.findall(r"^(?:async )?def (test_\w+)", LEFT_BEHIND, re.MULTILINE)
SHORTER = {"ASYNC_SECONDS = 20.0": "ASYNC_SECONDS = 2.0", "CLEAN_UP_SECONDS = 60.0": "CLEAN_UP_SECONDS = 3.0",
           "EXIT_SECONDS = 60.0": "EXIT_SECONDS = 3.0"}  # fmt: skip


def run_tests(folder: Path, *arguments: str) -> tuple[str, list[int]]:
    """Run ``LEFT_BEHIND`` with this project's conftest.py and shorter limits. Return the output and the processes."""
    conftest = (HERE / "conftest.py").read_text(encoding="utf-8")
    for limit, shorter in SHORTER.items():
        assert limit in conftest
        conftest = conftest.replace(limit, shorter)
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_left.py").write_text(LEFT_BEHIND)
    limits = ("-o", "timeout=3", "-o", "faulthandler_timeout=8", "-p", "no:randomly", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", "-c", HERE.parent / "pyproject.toml", f"--rootdir={folder}", *limits)
    env = environment(PYTHONPATH=os.pathsep.join((str(HERE), *sys.path)))
    done = run(*command, *arguments, "test_left.py", cwd=folder, env=env, seconds=100)
    pids = (folder / "pids").read_text().split() if (folder / "pids").exists() else []
    return done.stdout + done.stderr, [int(pid) for pid in pids]


def test_a_run_ends_and_names_the_tests_that_failed_and_hung(tmp_path: Path) -> None:
    """In two processes, as ``./scripts/test`` runs them."""
    output, pids = run_tests(tmp_path, "-n", "2")
    bad = set(re.findall(r"^(?:FAILED|ERROR) test_left.py::(\w+)", output, re.MULTILINE))
    assert bad == set(NAMES) - {"test_that_passes"}, output
    assert len(pids) == 4 and not any(map(is_running, pids))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "test_that_passes"])
def test_a_run_in_one_process_ends_and_names_the_test(tmp_path: Path, name: str) -> None:
    """A test that is stuck in C ends the run with the traceback of each thread."""
    output, pids = run_tests(tmp_path, "-k", name)
    assert name in output.split("collected", 1)[1]
    assert not any(map(is_running, pids))
