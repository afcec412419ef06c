"""freight sync-mtimes: what agrees gets the manifest's time; what does not is named and left as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.cli.main import main
from support.processes import environment, running
from support.servers import run_python, wait_until

OLD_NS = 1_700_000_000_123_456_789
NAMES = ("a", "b/deep/c", "b.txt", "ümläut", os.fsdecode(b"not-utf-8-\xff"), "line\nbreak")
Told = Callable[[], str]


@pytest.fixture
def right(tmp_path: Path) -> Path:
    """A directory with files of times of their own."""
    root = tmp_path / "right"
    for number, name in enumerate(NAMES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape") * 1000)
        os.utime(path, ns=(OLD_NS, OLD_NS + number))
    return root


@pytest.fixture
def manifest(right: Path, tmp_path: Path, told: Told) -> Path:
    path = tmp_path / "manifest"
    assert main(["sync-mtimes", str(right), "--write", str(path)]) == 0
    assert told() == f"{path}: {len(NAMES)} files, {sum(len(os.fsencode(name)) for name in NAMES) * 1000} bytes\n"
    return path


@pytest.fixture
def replica(right: Path, tmp_path: Path, manifest: Path) -> Path:
    """A copy, as most programs make one: the same content at other times."""
    root = tmp_path / "replica"
    shutil.copytree(right, root, copy_function=shutil.copyfile)
    return root


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return lambda: capsys.readouterr().out


def times(root: Path) -> list[int]:
    return [(root / name).stat().st_mtime_ns for name in NAMES]


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_replica_gets_the_same_times_to_the_nanosecond(
    right: Path, replica: Path, manifest: Path, told: Told, check: list[str]
) -> None:
    assert main(["sync-mtimes", str(replica), str(manifest), *check]) == 0
    assert times(replica) == times(right)
    assert told() == f"{replica}: 6 stamped; compared by {'digest' if check else 'size'}\n"
    assert main(["sync-mtimes", str(replica), str(manifest), *check]) == 0
    assert told().startswith(f"{replica}: 6 same; ")


def test_the_manifest_says_what_other_programs_say(right: Path, manifest: Path) -> None:
    head, *files = map(json.loads, manifest.read_text(encoding="ascii").splitlines())
    assert head == {"freight_manifest": 1, "digest": "sha256"}
    assert {file["path"] for file in files} == set(NAMES)
    for file in files:
        path = right / file["path"]
        assert file["size"] == path.stat().st_size
        assert file["mtime_ns"] == path.stat().st_mtime_ns
        assert file["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_differs_is_named_and_keeps_its_time(replica: Path, manifest: Path, told: Told) -> None:
    (replica / "a").write_bytes(b"shorter")
    other = replica / "b.txt"
    other.write_bytes(b"X" * other.stat().st_size)
    (replica / "b/deep/c").unlink()
    (replica / "new").write_bytes(b"")
    before = [(replica / name).stat().st_mtime_ns for name in ("a", "b.txt", "new")]
    assert main(["sync-mtimes", str(replica), str(manifest), "--check"]) == 1
    assert told().splitlines() == [
        "different  a (7 bytes, not 1000)",
        "missing    b/deep/c",
        "different  b.txt (other content)",
        "extra      new",
        f"{replica}: 3 stamped, 2 different, 1 missing, 1 extra; compared by digest",
    ]
    assert [(replica / name).stat().st_mtime_ns for name in ("a", "b.txt", "new")] == before


def test_a_dry_run_changes_nothing_and_says_what_it_would(replica: Path, manifest: Path, told: Told) -> None:
    before = times(replica)
    assert main(["sync-mtimes", str(replica), str(manifest), "--check", "--dry-run"]) == 1
    lines = told().splitlines()
    assert len(lines) == 7 and lines[0] == "unstamped  a"
    assert "unstamped  'line\\nbreak'" in lines
    assert times(replica) == before


def test_json_is_an_object_a_line_and_one_for_all(replica: Path, manifest: Path, told: Told) -> None:
    (replica / "line\nbreak").unlink()
    assert main(["sync-mtimes", str(replica), str(manifest), "--json"]) == 1
    missing, counts = map(json.loads, told().splitlines())
    assert missing == {"path": "line\nbreak", "state": "missing", "why": ""}
    assert counts == {
        **dict.fromkeys(("same", "unstamped", "different", "extra", "failed"), 0),
        **{"stamped": 5, "missing": 1, "checked": "size"},
    }


def test_links_are_not_followed_and_nothing_outside_is_touched(
    replica: Path, manifest: Path, tmp_path: Path, told: Told
) -> None:
    """Neither a file that is a link by now, nor a directory that leads out."""
    outside = tmp_path / "outside"
    shutil.move(replica / "b", outside)
    (replica / "b").symlink_to(outside)
    (outside / "a").write_bytes(b"a" * 1000)
    (replica / "a").unlink()
    (replica / "a").symlink_to(outside / "a")
    before = [(outside / name).stat().st_mtime_ns for name in ("a", "deep/c")]
    assert main(["sync-mtimes", str(replica), str(manifest)]) == 1
    assert told().splitlines()[:2] == ["missing    a", "missing    b/deep/c"]
    assert [(outside / name).stat().st_mtime_ns for name in ("a", "deep/c")] == before


def test_a_manifest_that_leads_out_is_refused_before_anything_is_stamped(
    replica: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(replica)
    with manifest.open("a") as file:
        print(json.dumps({"path": "../right/a", "size": 1000, "mtime_ns": 1, "digest": "0" * 64}), file=file)
    capsys.readouterr()
    assert main(["sync-mtimes", str(replica), str(manifest)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"freight: {manifest}: line 8: ")
    assert times(replica) == before


def test_dotfiles_need_an_option_and_the_manifest_is_no_file(right: Path, told: Told) -> None:
    (right / ".hidden").write_bytes(b"x")
    within = right / "manifest"
    for _ in range(2):
        assert main(["sync-mtimes", str(right), "--write", str(within)]) == 0
        assert f": {len(NAMES)} files, " in told()
    assert main(["sync-mtimes", str(right), str(within)]) == 0
    assert main(["sync-mtimes", str(right), str(within), "--show-hidden"]) == 1
    assert "extra      .hidden" in told()


@pytest.mark.parametrize(
    "arguments",
    [
        ["{replica}"],
        ["{replica}", "{manifest}", "--write", "x"],
        ["{replica}", "--write", "x", "--check"],
        ["{replica}", "{manifest}.none"],
        ["{replica}", "{replica}"],
        ["{replica}", "{replica}/a"],
        ["{replica}/a", "{manifest}"],
        ["{replica}/none", "{manifest}"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    replica: Path, manifest: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = [word.format(replica=replica, manifest=manifest) for word in arguments]
    assert main(["sync-mtimes", *words]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named(replica: Path, manifest: Path, told: Told) -> None:
    (replica / "a").chmod(0)
    assert main(["sync-mtimes", str(replica), str(manifest), "--check"]) == 1
    assert told().startswith("failed     a (Permission denied)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_interrupted_leaves_the_manifest_that_was_there(tmp_path: Path, number: signal.Signals) -> None:
    """And nothing besides, though it was reading a file of a terabyte."""
    root, manifest = tmp_path / "huge", tmp_path / "out" / "manifest"
    root.mkdir()
    manifest.parent.mkdir()
    manifest.write_text("what was there")
    with (root / "tera").open("wb") as file:
        file.truncate(1 << 40)
    words = [sys.executable, "-m", "freight", "sync-mtimes", str(root), "--write", str(manifest)]
    with running(words, env=environment()) as stamp:
        wait_until(lambda: len(list(manifest.parent.iterdir())) == 2, "it has begun")
        stamp.send_signal(number)
        assert stamp.wait(20) == 128 + number
    assert [path.name for path in manifest.parent.iterdir()] == ["manifest"]
    assert manifest.read_text() == "what was there"


def test_memory_is_bounded_whatever_the_length_of_a_file(tmp_path: Path) -> None:
    """A gigabyte in an address space that has no room for it."""
    root = tmp_path / "root"
    root.mkdir()
    with (root / "giga").open("wb") as file:
        file.truncate(1 << 30)
    words = ["sync-mtimes", str(root), "--write", str(tmp_path / "m")]
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))\n"
        f"from freight.cli.main import main; raise SystemExit(main({words!r}))"
    )
    done = run_python("-c", script)
    assert (done.returncode, done.stderr) == (0, "")
