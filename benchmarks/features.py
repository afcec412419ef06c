"""What freight and other servers can do, tried by requests to each: writes the table of docs/reference/features.md.

``python -m benchmarks.features`` starts each server that is installed once for each of its set-ups, with the options or
the configuration that its documentation names for the purpose, and probes it. A server that is not installed keeps the
cells of the table as they are. A set-up that fails to start is an error, and nothing is written. Cells in italics come
from documentation: an option that a server does not have, and :data:`benchmarks.feature_notes.READ`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from .feature_notes import READ
from .feature_setups import HASH, ORIGIN, SERVERS, TOKEN, USER, WORD, Setups
from .launch import PeerFailed, Site, make_certificate, run_peer
from .peers import Peer

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "features.md"
START, END = "<!-- tried -->\n", "<!-- /tried -->\n"
TIMEOUT_SECONDS = 10.0
SIZE = 1000
CONTENT = bytes(number * 7 % 251 for number in range(SIZE))
OLD, NEW = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to a probe. ``is_complete``: it had as many bytes as its Content-Length says."""

    status: int
    fields: Mapping[str, str]
    content: bytes
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Probes:
    """Sends requests to the server on a port. ``shared``: where it makes its socket and its log."""

    port: int
    shared: Path

    def ask(self, target: str = "/a.bin", method: str = "GET", **fields: str) -> Answer:
        """Return the response; an underscore in the name of a field is a hyphen."""
        return ask(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS), target, method, fields)


def ask(connection: http.client.HTTPConnection, target: str, method: str, fields: Mapping[str, str]) -> Answer:
    """Return the response on a new connection."""
    try:
        connection.request(method, target, headers={name.replace("_", "-"): each for name, each in fields.items()})
        response = connection.getresponse()
        named = {name.lower(): each for name, each in response.getheaders()}
        try:
            return Answer(response.status, named, response.read())
        except http.client.IncompleteRead as error:
            return Answer(response.status, named, error.partial, is_complete=False)
    finally:
        connection.close()


Probe = Callable[[Probes], str]
"""Returns a cell of the table."""


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


def one_range(server: Probes) -> str:
    got = [server.ask(Range=f"bytes={each}") for each in ("5-9", "-3", "990-")]
    return yes([each.content for each in got] == [CONTENT[5:10], CONTENT[-3:], CONTENT[990:]])


def no_range(server: Probes) -> str:
    got = server.ask(Range="bytes=5000-")
    size = "with" if got.fields.get("content-range") == f"bytes */{SIZE}" else "without"
    return f"{got.status}, {size} the size{'' if got.is_complete else ', **shorter than its Content-Length**'}"


def many_ranges(server: Probes) -> str:
    got = server.ask(Range="bytes=0-1,10-11,-1")
    if got.status == 206 and got.fields.get("content-type", "").startswith("multipart/byteranges"):
        return "yes"
    return {200: "no: the whole file", 206: "no: one range"}.get(got.status, f"no: {got.status}")


def if_range(server: Probes) -> str:
    first = server.ask().fields
    ways = {
        "tag": server.ask(Range="bytes=0-9", If_Range=first.get("etag", '"none"')).status == 206,
        "date": server.ask(Range="bytes=0-9", If_Range=first.get("last-modified", NEW)).status == 206,
    }
    if server.ask(Range="bytes=0-9", If_Range='"another"').status != 200:
        return "**ignored**"
    return " and ".join(name for name, works in ways.items() if works) or "no: always the whole file"


def not_modified(server: Probes) -> str:
    first = server.ask().fields
    ways = {
        "tag": "etag" in first and server.ask(If_None_Match=first["etag"]).status == 304,
        "date": server.ask(If_Modified_Since=first.get("last-modified", OLD)).status == 304,
    }
    return " and ".join(name for name, works in ways.items() if works) or "no"


def preconditions(server: Probes) -> str:
    ways = {
        "tag": server.ask(If_Match='"another"').status == 412,
        "date": server.ask(If_Unmodified_Since=OLD).status == 412,
    }
    return " and ".join(name for name, works in ways.items() if works) or "no"


def tag(server: Probes) -> str:
    found = server.ask().fields.get("etag", "")
    return "none" if not found else "weak" if found.startswith("W/") else "strong"


def listing(server: Probes) -> str:
    got = server.ask("/below/")
    return yes(got.status == 200 and b"inside.txt" in got.content and b"<" in got.content)


def json_listing(server: Probes) -> str:
    for target in ("/below/", "/below/?ls"):
        got = server.ask(target, Accept="application/json")
        if got.status == 200 and got.content.lstrip()[:1] in (b"[", b"{") and b"inside.txt" in got.content:
            return "yes"
    return "no"


def allows(got: Answer) -> bool:
    return got.fields.get("access-control-allow-origin") in ("*", ORIGIN)


def cors(server: Probes) -> str:
    return yes(allows(server.ask(Origin=ORIGIN)))


def preflight(server: Probes) -> str:
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range,if-match"}
    got = server.ask(method="OPTIONS", Origin=ORIGIN, **asked)
    allowed = {each.strip().lower() for each in got.fields.get("access-control-allow-headers", "").split(",")}
    if not (200 <= got.status < 300 and allows(got)):
        return f"no: {got.status}"
    return yes("*" in allowed or {"range", "if-match"} <= allowed)


def exposed(server: Probes) -> str:
    found = server.ask(Origin=ORIGIN).fields.get("access-control-expose-headers", "").lower()
    wanted = ("content-range", "etag", "accept-ranges")
    return yes(found.strip() == "*" or all(name in found for name in wanted))


def cors_errors(server: Probes) -> str:
    got = {404: server.ask("/nothing", Origin=ORIGIN), 416: server.ask(Range="bytes=5000-", Origin=ORIGIN)}
    ways = [str(status) for status, each in got.items() if allows(each)]
    return " and ".join(ways) or "no"


def basic(server: Probes) -> str:
    def authorized(word: str) -> Answer:
        told = base64.b64encode(f"{USER}:{word}".encode()).decode()
        return server.ask(Authorization=f"Basic {told}")

    refused = server.ask()
    if refused.status == 401 and "basic" not in refused.fields.get("www-authenticate", "").lower():
        return "401 without a challenge"
    right = authorized(WORD)
    return yes((refused.status, right.status, right.content) == (401, 200, CONTENT) and authorized("no").status != 200)


def precompressed(server: Probes) -> str:
    got = server.ask("/data.csv", Accept_Encoding="gzip")
    if got.fields.get("content-encoding") != "gzip":
        return "no"
    return "yes" if got.content == PACKED else "compressed at each request"


def ruled(server: Probes) -> str:
    here, there = server.ask(), server.ask("/below/inside.txt")
    return yes("max-age=60" in here.fields.get("cache-control", "") and "x-kind" not in there.fields)


def bearer(server: Probes) -> str:
    right = server.ask(Authorization=f"Bearer {TOKEN}")
    refused = [server.ask(), server.ask(Authorization=f"Bearer {TOKEN}x")]
    return yes((right.status, right.content) == (200, CONTENT) and {each.status for each in refused} <= {401, 403})


def mounts(server: Probes) -> str:
    """Two directories, each at a path of its own."""
    got = [server.ask("/m/inside.txt"), server.ask("/n/a.bin")]
    return yes([each.content for each in got] == [b"inside", CONTENT])


def unix_socket(server: Probes) -> str:
    """It may listen there a little later than at its port."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(TIMEOUT_SECONDS)
        try:
            connection.sock.connect(os.fspath(server.shared / "socket"))
            return yes(ask(connection, "/a.bin", "GET", {}).content == CONTENT)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            time.sleep(0.01)
    return "no"


def combined_log(server: Probes) -> str:
    """A line of the log as Apache writes it, within the time of an answer."""
    server.ask("/a.bin?probe", User_Agent="probe/1", Referer="https://from.example/")
    asked = r'"GET /a\.bin\?probe HTTP/1\.1" 200 1000 "https://from\.example/" "probe/1"'
    line = re.compile(rf"127\.0\.0\.1 - - \[[^]]+\] {asked}")
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        log = server.shared / "access.log"
        if log.exists() and line.search(log.read_text(encoding="utf-8")):
            return "yes"
        time.sleep(0.01)
    return "no"


def prefix(server: Probes) -> str:
    """A redirect to the address of a directory must stay below the prefix."""
    moved = server.ask("/files/below")
    place = urljoin("http://x/files/below", moved.fields.get("location", "below/"))
    right = urlsplit(place).path == "/files/below/" and server.ask("/files/below/").status == 200
    return yes(server.ask("/files/a.bin").content == CONTENT and right)


def secure(server: Probes) -> str:
    """Ask by curl, which offers HTTP/2."""
    words = ["curl", "-sko", os.devnull, "-w", "%{http_version} %{http_code}", f"https://127.0.0.1:{server.port}/a.bin"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False).stdout
    version, _, status = said.partition(" ")
    return f"yes, HTTP/{'1.1' if version.startswith('1') else version}" if status == "200" else "no"


PACKED = gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)

ROWS: dict[str, tuple[str, Probe]] = {
    "one range, also from the end": ("plain", one_range),
    "a range beyond the end": ("plain", no_range),
    "several ranges in one request": ("plain", many_ranges),
    "`If-Range` by": ("plain", if_range),
    "304 by": ("plain", not_modified),
    "412 by": ("plain", preconditions),
    "`ETag`": ("plain", tag),
    "listing in HTML": ("plain", listing),
    "listing in JSON": ("json", json_listing),
    "CORS": ("cors", cors),
    "preflight for `Range` and `If-Match`": ("cors", preflight),
    "exposes `Content-Range`, `ETag`": ("cors", exposed),
    "CORS on errors": ("cors", cors_errors),
    "basic authentication": ("basic", basic),
    "precompressed files (gzip)": ("precompressed", precompressed),
    "bearer tokens": ("bearer", bearer),
    "headers by path": ("ruled", ruled),
    "several directories at paths of their own": ("mounts", mounts),
    "serves below a prefix": ("prefix", prefix),
    "Unix sockets": ("unix", unix_socket),
    "HTTPS": ("tls", secure),
    "access log in the combined format": ("log", combined_log),
}
"""Each row: its name, the set-up of a server that it needs, and its probe."""


@contextmanager
def lay_out(home: Path) -> Iterator[Site]:
    """Make the files that are served and what the servers share."""
    root, shared = home / "root", home / "shared"
    (root / "below").mkdir(parents=True)
    shared.mkdir()
    (root / "a.bin").write_bytes(CONTENT)
    (root / "below" / "inside.txt").write_text("inside")
    (root / "data.csv").write_bytes(gzip.decompress(PACKED))
    (root / "data.csv.gz").write_bytes(PACKED)
    for path in (*root.rglob("*.*"),):
        os.utime(path, (1_577_836_800, 1_577_836_800))  # a date is a strong validator only when it is old
    make_certificate(shared)
    (shared / "both.pem").write_bytes((shared / "key.pem").read_bytes() + (shared / "cert.pem").read_bytes())
    (shared / "htpasswd").write_text(f"{USER}:{HASH}\n")
    (shared / "tokens").write_text(f"probe {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    for path in (shared / "key.pem", shared / "htpasswd", shared / "tokens"):
        path.chmod(0o600)
    yield Site(root, shared, SIZE)


def try_server(setups: Setups, site: Site) -> dict[str, str]:
    """Return the cells of a server's column. Raise PeerFailed if a set-up does not start."""
    cells = {}
    for setup in dict.fromkeys(setup for setup, _ in ROWS.values()):
        rows = {name: probe for name, (needed, probe) in ROWS.items() if needed == setup}
        if setup not in setups:
            cells |= dict.fromkeys(rows, "*no*")
            continue
        try:
            with run_peer(setups[setup], site) as running:
                cells |= {name: probe(Probes(running.port, site.shared)) for name, probe in rows.items()}
        except PeerFailed as error:
            raise PeerFailed(f"{setups[setup].name}, {setup}: {error}") from None
        finally:
            for name in ("socket", "access.log"):
                (site.shared / name).unlink(missing_ok=True)
    return cells


def version_of(peer: Peer) -> str:
    """Return the number of an installed version."""
    found = re.search(r"\d+(?:\.\d+)+", peer.installed_version())
    return found[0] if found else "unknown"


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Return the cells of the page by column and row, for the servers that are not installed here."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    if not cells:
        return {}
    return {
        name.partition(" ")[0]: {"version": name.partition(" ")[2]} | {row[0]: row[number] for row in cells[2:]}
        for number, name in enumerate(cells[0])
        if number
    }


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """Return the table in Markdown."""
    heads = [f"{name} {cells['version']}".strip() for name, cells in columns.items()]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {row} | {' | '.join(cells.get(row, '') for cells in columns.values())} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def main(home: Path) -> None:
    """Try each server, and write the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    old, _, after = rest.partition(END)
    columns: dict[str, Mapping[str, str]] = dict(read_table(old))
    with lay_out(home) as site:
        for name, make in SERVERS.items():
            setups = make()
            why = setups["plain"].missing_requirement()
            if why is None:
                columns[name] = {"version": version_of(setups["plain"])} | try_server(setups, site)
            else:
                print(f"{name}: {why}", file=sys.stderr)
    columns = {name: columns[name] for name in SERVERS if name in columns}
    columns |= {name: {"version": ""} | {row: cells.get(row, "?") for row in ROWS} for name, cells in READ.items()}
    PAGE.write_text(f"{before}{START}{table(columns)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="freight-features-") as made:
        Path(made).chmod(0o755)
        try:
            main(Path(made))
        except PeerFailed as error:
            sys.exit(f"features: {error}")
