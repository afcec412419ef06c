"""The console blocks of the documentation show what their commands print, in a fresh clone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from walkthrough.checkout import ROOT, NoClone, Place, changes, free_port, make_place
from walkthrough.compare import agree, shortened
from walkthrough.page import BadPage, Kind, Step, blocks, body_of, rewritten, undecided
from walkthrough.pages import BEGINNINGS, README, TUTORIAL, needed, play_page, played_pages
from walkthrough.story import play
from walkthrough.terminal import Terminal

from support.processes import is_running

# Commands of the first two pages that no test types, by the reason in the directive of their block.
NOT_TYPED = {
    README: {"see below": ["./scripts/serve", "./scripts/test"]},
    TUTORIAL: {},
}

# It prints that it is ready, then that it was asked, and at Ctrl-C that it has stopped.
SERVER = f"""\
<!-- save as: server.py -->
```python
import signal
def stop(*_): exit(print("stopped"))
signal.signal(signal.SIGINT, stop)
print("ready")
open("asked").read()
print("asked")
open("answered", "w").write("yes\\n")
while True: signal.pause()
```
<!-- run: until "ready" -->
```console
$ mkfifo asked answered
$ {sys.executable} server.py
ready
```
"""

MakePlace = Callable[..., Place]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


LARGEST_SEND_BUFFER = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])


def marked(page: Path) -> object:
    marks = [pytest.mark.needs(*needed(page))]
    if "(net.ipv4.tcp_wmem)" in page.read_text(encoding="utf-8"):
        reason = "the output of freight plan depends on the host's tcp_wmem, and the pages are for 4 MiB"
        marks.append(pytest.mark.skipif(LARGEST_SEND_BUFFER != 4 << 20, reason=reason))
    return pytest.param(page, id=name_of(page), marks=marks)


HOW_TO = [marked(page) for page in played_pages() if page not in BEGINNINGS]


@pytest.fixture
def place(tmp_path: Path) -> MakePlace:
    def make(*, fetches: bool = False) -> Place:
        try:
            return make_place(tmp_path / "newcomer", fetches=fetches, as_typed=False)
        except NoClone as error:
            pytest.skip(str(error))

    return make


@pytest.fixture
def bare(tmp_path: Path) -> Place:
    """Return an empty place, without a clone."""
    return Place(tmp_path, tmp_path, os.environ | {"LC_ALL": "C.UTF-8"}, 18080)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, os.environ)
    yield made
    made.close()


def console(body: str, directive: str = "run") -> str:
    return f"<!-- {directive} -->\n```console\n{body}```\n"


# The pages


@pytest.mark.timeout(300)
@pytest.mark.needs("bash", "git", "wget", "curl", "jq")
@pytest.mark.parametrize("page", BEGINNINGS, ids=name_of)
def test_the_first_pages_show_what_their_commands_print_and_leave_no_files(page: Path, place: MakePlace) -> None:
    made = place()
    before = changes(made.clone)
    played = play_page(page, made)
    assert "\n".join(map(str, played.differences)) == ""
    assert changes(made.clone) == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", HOW_TO)
def test_a_page_shows_what_its_commands_print(page: Path, place: MakePlace) -> None:
    played = play_page(page, place())
    assert "\n".join(map(str, played.differences)) == ""


@pytest.mark.timeout(900)
@pytest.mark.needs("bash", "git", "wget", "curl", "jq")
def test_the_readme_is_right_with_packages_from_an_index(place: MakePlace) -> None:
    played = play_page(README, place(fetches=True))
    assert "\n".join(map(str, played.differences)) == ""


@pytest.mark.timeout(900)
@pytest.mark.needs("bash", "git", "wget", "curl", "jq")
def test_the_tutorial_is_right_for_an_installed_package(place: MakePlace, tmp_path: Path) -> None:
    made, environment, empty = place(fetches=True), tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=120)
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", made.clone]
    subprocess.run(install, check=True, timeout=300)
    path = f"{environment / 'bin'}{os.pathsep}{made.environment['PATH']}"
    installed = Place(made.clone, made.home, {**made.environment, "PATH": path}, made.port)
    played = play(TUTORIAL.read_text(encoding="utf-8"), installed, start=empty, installed=True)
    assert "\n".join(map(str, played.differences)) == ""


@pytest.mark.parametrize("page", BEGINNINGS, ids=name_of)
def test_every_command_of_the_first_pages_is_typed_or_has_a_reason_not_to_be(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert undecided(text) == []
    left_out = {
        block.words: [step.typed for step in block.steps] for block in blocks(text) if block.kind is Kind.NOT_RUN
    }
    assert left_out == NOT_TYPED[page]


# The tool


def test_a_page_with_other_output_is_reported_by_line_and_corrected(bare: Place) -> None:
    page = "# Title\n\n" + console("$ echo one; echo two\none\n$ echo three\nthree\n")
    played = play(page, bare, start=bare.clone)
    assert [str(difference) for difference in played.differences] == [
        "line 3: echo one; echo two\n  - one\n  + one\n  + two"
    ]
    assert played.page == "# Title\n\n" + console("$ echo one; echo two\none\ntwo\n$ echo three\nthree\n")
    assert play(played.page, bare, start=bare.clone).differences == []


def test_each_terminal_has_its_own_directory_and_variables(bare: Place) -> None:
    page = console("$ mkdir sub && cd sub && X=1\n") + console("$ echo $X; basename $PWD\n1\nsub\n")
    page += console("$ echo ${X:-none}\nnone\n", "run: terminal 2")
    assert play(page, bare, start=bare.clone).differences == []


def test_a_server_runs_until_ctrl_c_and_later_blocks_show_its_output(bare: Place) -> None:
    page = SERVER + console("$ echo > asked; cat answered\nyes\n", "run: terminal 2")
    page += console("asked\n") + console("^C\nstopped\n")
    assert play(page, bare, start=bare.clone).differences == []


def test_output_that_no_block_shows_is_a_difference(bare: Place) -> None:
    page = SERVER + console("$ echo > asked; cat answered\nyes\n", "run: terminal 2")
    (difference,) = play(page, bare, start=bare.clone).differences
    assert difference.printed == ("asked",)


def test_a_file_on_a_page_is_saved(bare: Place) -> None:
    page = "<!-- save as: a.py -->\n```python\nprint(1)\n```\n" + console(f"$ {sys.executable} a.py\n1\n")
    assert play(page, bare, start=bare.clone).differences == []


def test_a_failed_set_up_is_reported(bare: Place) -> None:
    (difference,) = play("<!-- setup: echo why; false -->\n", bare, start=bare.clone).differences
    assert str(difference) == "line 1: set-up has failed: echo why; false\n  + why"


def test_blocks_for_a_checkout_are_skipped_for_an_installed_package(bare: Place) -> None:
    page = console("$ echo one\n", "run: in a checkout")
    assert len(play(page, bare, start=bare.clone).differences) == 1
    assert play(page, bare, start=bare.clone, installed=True).differences == []


def test_ports_are_replaced_in_commands_and_files_and_restored_in_output(bare: Place) -> None:
    page = console("$ echo localhost:8080 9080 18080x 80801\nlocalhost:8080 9080 18080x 80801\n")
    page += "<!-- save as: file -->\n```\n8080\n```\n" + console("$ grep -c 28080 file\n1\n")
    assert play(page, Place(bare.clone, bare.home, bare.environment, 28080), start=bare.clone).differences == []


def test_ctrl_c_ends_the_command_and_not_the_terminal(terminal: Terminal) -> None:
    program = 'import signal; signal.signal(2, signal.SIG_DFL); print("ready"); signal.pause()'
    terminal.start(f"{sys.executable} -c '{program}'")
    assert terminal.wait_for_output(lambda lines: lines == ["ready"], 20, 20) == ["ready"]
    terminal.press_ctrl_c()
    assert terminal.finish(20)[0] == 130
    assert terminal.run("echo here", 20) == (0, ["here"])


def test_a_program_runs_on_a_terminal_and_a_progress_bar_is_shown_in_its_last_state(terminal: Terminal) -> None:
    assert terminal.run("[ -t 0 ] && [ -t 1 ] && [ -t 2 ]", 20) == (0, [])
    assert terminal.run(r"printf '1%%\r50%%\r\033[32m100%%\033[0m\n'", 20) == (0, ["100%"])


def test_a_closed_terminal_leaves_no_process(tmp_path: Path) -> None:
    made = Terminal(tmp_path, os.environ)
    _, (said,) = made.run("sleep 1000 & (trap '' HUP INT TERM; sleep 1000) & jobs -p | xargs", 20)
    made.close()
    assert [pid for pid in said.split() if is_running(int(pid))] == []


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as taken:
        port = free_port(as_typed=False)
        taken.bind(("127.0.0.1", port))
        assert free_port(as_typed=False) != port


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a a", False),
        ("2026-11-23T03:58:04Z x", "2027-01-02T13:48:14Z x", True),
        ("2026-11-23 03:58:06 URL", "2027-01-02 13:48:14 URL", True),
        ("Date: Mon, 23 Nov 2026 03:58:25 GMT", "Date: Tue, 24 Nov 2026 13:00:00 GMT", True),
        ("200 225610752/1000000000 1.997s peer-gone", "200 99999999/1000000000 2.1s peer-gone", True),
        ("200 225610752/1000000000 1.997s peer-gone", "200 1000000000/1000000000 1.997s peer-gone", False),
        ("200 128/128 1.997s complete", "200 129/129 1.997s complete", False),
        ("1,738 downloads at once", "1,739 downloads at once", False),
        ("freight: pid 1503, memory 64MiB", "freight: pid 7, memory 64MiB", True),
        ("freight: pid 1503, memory 64MiB", "freight: pid 7, memory 20MB", False),
        ('"pid": 1503', '"pid": 17', True),
        ("Private_Dirty:     15328 kB", "Private_Dirty:     9000 kB", True),
        ("13.2MB/s", "900kB/s", True),
        ('ETag: "3b9aca00-18ea9029b59db98f"', 'ETag: "3b9aca00-0000000000000001"', True),
        ("  30.7kB   250", "  30.8kB   250", False),
        ("in front\n...\nbehind", "in front\n1\n2\nbehind", True),
        ("in front\n...\nbehind", "in front\nbehind", True),
        ("in front\n...\nbehind", "in front\n1", False),
        ("", "a", False),
    ],
)
def test_outputs_agree_except_for_times_sizes_and_process_ids(shown: str, printed: str, same: bool) -> None:
    assert agree(shown.splitlines(), printed.splitlines()) is same


def test_where_numbers_vary_words_must_agree() -> None:
    shown, printed = ["memory ━━──  20%  4.1MB of 20MB"], ["memory ━━━━  3%  400kB of 20MB"]
    assert not agree(shown, printed)
    assert agree(shown, printed, numbers_vary=True)
    assert agree(["  7.1s 12.0MB/s"], ["5h18m 900kB/s"], numbers_vary=True)
    assert not agree(shown, ["memory ━━━━  3%  400kB on 20MB"], numbers_vary=True)


def test_new_output_keeps_the_ellipsis_of_the_page() -> None:
    assert shortened(["a", "...", "y", "z"], list("bcdefg")) == ("b", "...", "f", "g")
    assert shortened(["a"], list("bc")) == ("b", "c")
    assert shortened(["a", "..."], list("bcd")) == ("b", "...")


def test_a_block_that_is_read_and_written_is_unchanged() -> None:
    body = "said before\n$ one\nout\n...\n$ two\n^C\nend\n"
    (block,) = blocks(console(body))
    assert block.steps == [
        Step(None, ("said before",)),
        Step("one", ("out", "...")),
        Step("two", ()),
        Step("^C", ("end",)),
    ]
    assert body_of(block.steps) == body
    assert rewritten(console(body), {block: "$ three\n"}) == console("$ three\n")


def test_a_directive_names_the_terminal_and_the_text_to_wait_for() -> None:
    (block,) = blocks("\n" + console("$ one\n", 'run: terminal 3, until "admin at", in a checkout, numbers vary'))
    assert (block.line, block.terminal, block.until) == (2, 3, "admin at")
    assert block.in_checkout and block.numbers_vary


@pytest.mark.parametrize(
    "page",
    [
        console("$ one\n", "run: in terminal 2"),
        console("$ one\n", "not run"),
        console("$ one\n", "setup: true"),
        "<!-- run -->\n\nno block\n",
        "<!-- save as: file -->\n",
    ],
)
def test_an_invalid_directive_is_an_error(page: str) -> None:
    with pytest.raises(BadPage):
        blocks(page)


def test_a_console_block_without_a_directive_is_found() -> None:
    assert undecided(console("$ one\n") + "text\n```console\n$ two\n```\n") == [6]
