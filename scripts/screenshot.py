"""Take the picture of the dashboard: three clients that read, one whose requests wait, and one that has stalled."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from freight.tools.loadgen import child_process
from freight.tools.loadgen.client import Group
from freight.tools.loadgen.generator import LoadGenerator

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "dashboard.png"
TARGETS = ("/huge.csv", "/models/base-2026.tar")
FILE_BYTES = 400_000_000
OPTIONS = (
    "--memory",
    "20MB",
    "--max-per-client",
    "3",
    "--idle-timeout",
    "10m",
    "--queue-timeout",
    "10m",
    "--port",
    "0",
    "--admin",
    "127.0.0.1:0",
)
WIDTH = 1180
# What happens, and for how many seconds the charts show it.
SCENES: tuple[tuple[Group | None, float], ...] = (
    (None, 12),
    (Group(name="second", count=3, targets=TARGETS, sources=("127.0.0.2",), pace=850_000, receive=65536), 10),
    (Group(name="third", count=3, targets=TARGETS, sources=("127.0.0.3",), pace=1_900_000, receive=65536), 9),
    (Group(name="fourth", count=3, targets=TARGETS, sources=("127.0.0.4",), pace=470_000, receive=65536), 6),
    (Group(name="waiting", count=4, targets=TARGETS, sources=("127.0.0.2",), receive=65536), 22),
    (Group(name="stalled", count=2, targets=TARGETS, sources=("127.0.0.9",), stall=65536, receive=65536), 11),
)


@contextmanager
def running_server() -> Iterator[tuple[str, str]]:
    """Start a server with two large files. Yield its address and that of its dashboard."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        for target in TARGETS:
            path = root / target[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(FILE_BYTES)
        command = [sys.executable, "-m", "freight", "serve", str(root), *OPTIONS]
        server = child_process.start(command, stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline().decode() for _ in range(2)]
            yield lines[0].split()[-1], lines[1].split()[-1]
        finally:
            child_process.stop(server)


def main() -> None:
    with running_server() as (address, dashboard), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light", timezone_id="UTC")
        page.goto(dashboard)
        host, _, port = address.removeprefix("http://").strip("/").partition(":")
        with LoadGenerator(host, int(port)) as load:
            for group, seconds in SCENES:
                if group is not None:
                    load.join(group)
                time.sleep(seconds)
            load.status()  # raises if the clients have ended
            below = page.get_by_role("heading", name="Since the start").bounding_box()
            assert below is not None
            area = {"x": 0, "y": 0, "width": WIDTH, "height": below["y"]}
            page.screenshot(path=PICTURE, full_page=True, clip=area)
        chromium.close()


if __name__ == "__main__":
    main()
