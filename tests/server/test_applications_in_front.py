"""An application decides, nginx or Caddy asks it, and freight sends: the configurations of examples/handoff."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import pytest

from freight.tools.loadgen.gauge import children
from support.processes import descriptor_targets, environment, running
from support.servers import (
    HUGE_BYTES,
    TIMEOUT_SECONDS,
    IncompleteResponse,
    Serve,
    ServerProcess,
    UnixClient,
    find_program,
    wait_until,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "handoff"
SMALL = bytes(range(256)) * 40
REPORT, FILE = "/reports/1", "/files/alice/1.csv"
FRONTS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("nginx", "caddy")]
WAYS = pytest.mark.parametrize("target", [REPORT, FILE], ids=["X-Accel-Redirect", "asked for each request"])

NGINX = """\
daemon off; master_process off; pid {here}/pid;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {here}/1; proxy_temp_path {here}/2; fastcgi_temp_path {here}/3;
    uwsgi_temp_path {here}/4; scgi_temp_path {here}/5; access_log off;
    include {here}/site.conf;
}}
"""


def basic(user: str, password: str = "secret") -> str:
    """Return the field that signs a user in."""
    return "Authorization: Basic " + b64encode(f"{user}:{password}".encode()).decode()


ALICE, BOB = basic("alice"), basic("bob")


class Front:
    """nginx or Caddy, an application, and a freight with files of alice and bob."""

    def __init__(self, name: str, here: Path, server: ServerProcess, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.here = here
        self.server = server
        self.process = process

    def connect(self) -> UnixClient:
        """Connect a new client to the front."""
        return UnixClient(self.here / "front")

    def listens(self) -> bool:
        """Return whether it accepts connections: its socket exists before that. Raise AssertionError if it ended."""
        assert self.process.poll() is None, (self.here / "log").read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(TIMEOUT_SECONDS)
            return probe.connect_ex(str(self.here / "front")) == 0

    def ask(self, target: str, *fields: str, method: str = "GET") -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the status, all fields and the content of a response."""
        with self.connect() as client:
            client.get(target, *fields, "Connection: close", method=method)
            head, _, content = client.read_to_end().partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:]]
        return int(lines[0].split(" ")[1]), [(name.lower(), value) for name, value in pairs], content

    def files_written(self) -> list[str]:
        """Return what the front has on disk beside its log and configuration: files in its directories, or deleted."""
        kept = [str(path) for number in "12345" for path in (self.here / number).rglob("*") if path.is_file()]
        pids = [self.process.pid, *children(self.process.pid)]
        return kept + [target for pid in pids for target in descriptor_targets(pid) if target.endswith(" (deleted)")]


@contextmanager
def application() -> Iterator[str]:
    """Run the application on a free port, and return its address."""
    words = [sys.executable, str(EXAMPLES / "application.py"), "0"]
    with running(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        found = re.search(rb"127\.0\.0\.1:[1-9]\d*", process.stdout.readline())
        assert found is not None
        yield found[0].decode()


def configured(name: str, here: Path, address: str, without: str = "") -> str:
    """Return the configuration of the examples with sockets for its addresses, and without one line."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    listens = {"    listen 80;": f"    listen unix:{here}/front;", ":80 {": f"http:// {{\n\tbind unix/{here}/front"}
    changes = {"/run/freight/freight.sock": f"{here}/freight", "127.0.0.1:8000": address}
    changes |= {old: new for old, new in listens.items() if old in text} | ({without: "#"} if without else {})
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def words_for(name: str, here: Path, address: str, without: str) -> list[str]:
    """Write the configuration of a front, and return its command."""
    program = find_program(name)
    assert program is not None
    if name == "nginx":
        (here / "site.conf").write_text(configured("nginx.conf", here, address, without))
        (here / "conf").write_text(NGINX.format(here=here))
        return [program, "-p", str(here), "-c", str(here / "conf"), "-e", str(here / "error.log")]
    (here / "Caddyfile").write_text("{\n\tadmin off\n}\n" + configured("Caddyfile", here, address, without))
    return [program, "run", "--adapter", "caddyfile", "--config", str(here / "Caddyfile")]


@contextmanager
def in_front(name: str, here: Path, serve: Callable[..., ServerProcess], without: str = "") -> Iterator[Front]:
    """Run a front with the configuration of the examples, an application and a server."""
    root = here / "root"
    for user in ("alice", "bob"):
        (root / user).mkdir(parents=True)
    (root / "alice" / "1.csv").write_bytes(SMALL)
    (root / "bob" / "50 %.csv").write_bytes(b"of bob")
    server = serve(root, "--host", f"unix:{here / 'freight'}", "--trusted-proxy", "unix", "--cache-control", "no-cache")
    with application() as address, (here / "log").open("wb") as log:
        home = {"HOME": str(here), "XDG_DATA_HOME": str(here), "XDG_CONFIG_HOME": str(here)}
        words = words_for(name, here, address, without)
        with running(words, env=os.environ | home, stdout=log, stderr=log) as process:
            front = Front(name, here, server, process)
            wait_until(front.listens, f"{name} listens")
            yield front


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest, tmp_path: Path, serve: Serve) -> Iterator[Front]:
    """Return nginx or Caddy in front of an application and a server."""
    with in_front(request.param, tmp_path, lambda *words: serve(*words, admin=True)) as front:
        yield front


@pytest.fixture(scope="module", params=FRONTS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Return a front for tests that only ask."""
    with ExitStack() as servers:

        def start(path: Path, *words: str) -> ServerProcess:
            server = ServerProcess((str(path), *words), admin=True)
            servers.callback(server.close)
            return server

        yield servers.enter_context(in_front(request.param, tmp_path_factory.mktemp("f"), start))


@WAYS
def test_a_permitted_user_gets_the_file_and_its_ranges(shared: Front, target: str) -> None:
    """Each field of freight arrives once; of those that both send, the application's."""
    status, fields, content = shared.ask(target, ALICE)
    assert (status, content) == (200, SMALL)
    names = [name for name, _ in fields]
    assert len(names) == len(set(names))
    found = dict(fields)
    assert found["cache-control"] == ("private" if target == REPORT else "no-cache")
    assert found["content-disposition"] == f'attachment; filename="{"report-" * (target == REPORT)}1.csv"'
    assert (found["accept-ranges"], found["content-type"]) == ("bytes", "text/csv")
    assert "x-accel-redirect" not in found
    etag, changed = found["etag"], found["last-modified"]
    for asked, answered, expected in (
        (("Range: bytes=100-199",), 206, SMALL[100:200]),
        (("Range: bytes=-5",), 206, SMALL[-5:]),
        (("Range: bytes=99999-",), 416, None),
        (("Range: bytes=9-19", f"If-Range: {etag}"), 206, SMALL[9:20]),
        (("Range: bytes=9-19", 'If-Range: "another"'), 200, SMALL),
        ((f"If-None-Match: {etag}",), 304, b""),
        ((f"If-Modified-Since: {changed}",), 304, b""),
        (('If-Match: "another"',), 412, None),
    ):
        status, fields, content = shared.ask(target, ALICE, *asked)
        assert status == answered, asked
        assert expected is None or content == expected, asked
    several = shared.ask(target, ALICE, "Range: bytes=0-1,100-101")
    assert several[0] == 206
    assert SMALL[100:102] in several[2] and dict(several[1])["content-type"].startswith("multipart/byteranges")
    shared.server.clear_log()
    status, fields, content = shared.ask(target, ALICE, method="HEAD")
    assert (status, content, dict(fields)["content-length"]) == (200, b"", str(len(SMALL)))
    shared.server.wait_for_log('"HEAD /alice/1.csv"')  # later than other tests may expect: a front confirms nothing


@WAYS
def test_others_get_nothing_and_freight_is_not_asked(shared: Front, target: str) -> None:
    shared.server.clear_log_when_written()
    for fields, status in (((), 401), ((basic("alice", "guess"),), 401), ((BOB,), 403)):
        found, named, content = shared.ask(target, *fields)
        assert found == status
        assert SMALL[:200] not in content
        assert ("www-authenticate" in dict(named)) is (status == 401)
    shared.server.get("/mark")
    shared.server.wait_for_log("/mark")
    assert [line for line in shared.server.log if "/alice/" in line] == []


OF_BOB = (
    "/files/alice/../bob/50%20%25.csv",
    "/files/alice/%2e%2e/bob/50%20%25.csv",
    "/files/alice/.%2E/bob/50%20%25.csv",
    "/files/alice%2F..%2Fbob/50%20%25.csv",
    "/files/alice%2F..%2F..%2Ffiles/bob/50%20%25.csv",
    "/files/alice/x/..%2f../bob/50%20%25.csv",
    "/files/alice/..",
    "/files//bob/50%20%25.csv",
    "/files/./bob/50%20%25.csv",
    "/FILES/bob/50%20%25.csv",
    "/files/bob/50%20%25.csv?/files/alice/",
    "/files/bob/50%20%25.csv%3F/files/alice/",
    "/files/bob/50%20%25.csv%23",
    "/freight/bob/50%20%25.csv",
    "/freight/../files/bob/50%20%25.csv",
    "/reports/../freight/bob/50%20%25.csv",
    "/authorize/../files/bob/50%20%25.csv",
    "/reports/2",
)
"""Targets that some programs read as a file of bob, and others as one of alice."""


def test_no_spelling_of_a_path_gets_the_file_of_another(shared: Front) -> None:
    """Whatever the client claims to have asked for, too."""
    claims = ((), ("X-Forwarded-Uri: /files/alice/1.csv",))
    for target, claim in product(OF_BOB, claims):
        status, _, content = shared.ask(target, ALICE, *claim)
        assert status >= 300, target
        assert b"of bob" not in content, target
    assert shared.ask("/files/bob/50%20%25.csv", BOB)[2] == shared.ask("/reports/2", BOB)[2] == b"of bob"


def make_huge(front: Front) -> bytes:
    """Make the file of alice huge, and return its content."""
    os.truncate(front.here / "root" / "alice" / "1.csv", HUGE_BYTES)
    return SMALL + bytes(HUGE_BYTES - len(SMALL))


@contextmanager
def stalled(front: Front, target: str) -> Iterator[UnixClient]:
    """Start a download whose client stops reading, and wait until nothing moves."""
    with front.connect() as client:
        client.get(target, ALICE)
        assert client.read_head()[0] == 200
        seen: list[object] = []

        def waits() -> bool:
            running = front.server.status()["transfers"]["running"]
            seen.append([(each["sent"], each["blocked_on"]) for each in running])
            return len(seen) > 20 and bool(running) and seen[-20:] == [seen[-1]] * 20

        wait_until(waits, "the server waits for the proxy")
        yield client


def test_a_client_that_stops_reading_fills_no_disk_and_holds_the_download(front: Front) -> None:
    content = make_huge(front)
    for target in (REPORT, FILE):
        with stalled(front, target) as client:
            (download,) = front.server.status()["transfers"]["running"]
            assert download["sent"] < HUGE_BYTES // 4
            assert front.files_written() == []
            assert client.read_exactly(HUGE_BYTES) == content
    with stalled(front, FILE):
        pass
    wait_until(lambda: front.server.gate()["running"] == 0, "the slot of a client that has gone is free")


@pytest.mark.needs("nginx")
def test_without_its_line_nginx_would_write_the_file_to_disk(tmp_path: Path, serve: Serve) -> None:
    """The negative control of the test above."""
    line = "proxy_max_temp_file_size 0;"
    with (
        in_front("nginx", tmp_path, lambda *words: serve(*words, admin=True), without=line) as front,
        front.connect() as client,
    ):
        make_huge(front)
        client.get(FILE, ALICE)
        client.read_head()
        wait_until(lambda: front.files_written() != [], "nginx writes")


def test_a_server_killed_in_mid_body_never_looks_complete(front: Front) -> None:
    make_huge(front)
    with front.connect() as first, front.connect() as second:
        for client, target in ((first, REPORT), (second, FILE)):
            client.get(target, ALICE)
            status, fields = client.read_head()
            assert (status, fields["content-length"]) == (200, str(HUGE_BYTES))
            client.read_exactly(1 << 20)
        front.server.signal(signal.SIGKILL)
        front.server.wait()
        for client in (first, second):
            with pytest.raises((IncompleteResponse, ConnectionResetError)):
                client.read_exactly(HUGE_BYTES)


@pytest.mark.parametrize(("language", "name"), [("nginx", "nginx.conf"), ("caddy", "Caddyfile")])
def test_the_page_shows_what_is_tested(language: str, name: str) -> None:
    root = EXAMPLES.parents[1]
    page = (root / "docs" / "how-to" / "applications-in-front.md").read_text(encoding="utf-8")
    tested = " ".join((EXAMPLES / name).read_text(encoding="utf-8").split())
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    assert all(" ".join(block.split()) in tested for block in blocks)
