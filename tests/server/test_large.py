"""Files of a terabyte and directories of a hundred thousand entries."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from support.servers import Serve

TERABYTE = 10**12
FOUR_GIB = 1 << 32


def test_any_place_in_a_terabyte_can_be_reached(tmp_path: Path, serve: Serve) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.seek(FOUR_GIB - 5)
        file.write(b"0123456789")
        file.seek(TERABYTE - 3)
        file.write(b"end")
    server = serve(path)
    with server.connect() as client:
        client.get("/", method="HEAD")
        assert client.read_response("HEAD").fields["content-length"] == str(TERABYTE)
        client.get("/", "Range: bytes=-10")
        assert client.read_response().content == bytes(7) + b"end"
        client.get("/", f"Range: bytes={FOUR_GIB - 5}-{FOUR_GIB + 4}")
        answer = client.read_response()
        assert answer.content == b"0123456789"
        assert answer.fields["content-range"] == f"bytes {FOUR_GIB - 5}-{FOUR_GIB + 4}/{TERABYTE}"
        client.get("/", f"Range: bytes={FOUR_GIB - 100_000_000}-{FOUR_GIB + 4}")
        assert client.read_response().content == bytes(99_999_995) + b"0123456789"
        client.get("/", f"Range: bytes={TERABYTE}-")
        assert client.read_response().status == 416


def test_a_listing_of_100000_entries_delays_nobody(tmp_path: Path, serve: Serve) -> None:
    for number in range(100_000):
        (tmp_path / f"{number:06d}").touch()
    (tmp_path / "small.txt").write_text("small")
    server = serve(tmp_path)
    listings: list[bytes] = []

    def ask() -> None:
        listings.append(server.get("/", "Accept: application/json").content)

    asking = threading.Thread(target=ask, daemon=True)
    with server.connect() as other:
        other.socket.settimeout(2)  # far more than an answer takes, far less than the listing would
        asking.start()
        answered = 0
        while asking.is_alive():
            other.get("/small.txt")
            assert other.read_response().content == b"small"
            answered += 1
            asking.join(0.01)  # leave the processor to the server: only waiting matters here
    assert answered > 0
    names = [entry["name"] for entry in json.loads(listings[0])["entries"]]
    assert sorted(names) == sorted([*(f"{number:06d}" for number in range(100_000)), "small.txt"])
