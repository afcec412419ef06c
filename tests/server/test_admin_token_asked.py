"""The admin listener with a secret: what clients must send, over TCP and over a Unix socket, and when freight warns."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.servers import TIMEOUT_SECONDS, Serve, run_python

TOKEN = "0123456789abcdef"


def test_requests_need_the_secret_and_freight_top_sends_it(huge: Path, serve: Serve, tmp_path: Path) -> None:
    file, path = tmp_path / "token", tmp_path / "a"
    file.write_text(f"{TOKEN}\n")
    server = serve(huge, "--admin", f"unix:{path}", "--admin-token-file", str(file))

    def status(target: str, *words: str) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", str(path), *words]
        url = f"http://localhost{target}"
        return subprocess.run([*command, url], capture_output=True, text=True, timeout=TIMEOUT_SECONDS).stdout

    assert [status(each) for each in ("/", "/status", "/metrics", "/events", "/readyz")] == ["401"] * 4 + ["200"]
    assert status("/status", "-u", f"anyone:{TOKEN}") == "200"
    assert status("/status", "-H", f"Authorization: Bearer {TOKEN}") == "200"
    assert status("/status", "-H", "Authorization: Bearer wrong") == "401"
    refused = run_python("-m", "freight", "top", "--once", f"unix:{path}")
    assert (refused.returncode, "--admin-token-file" in refused.stderr) == (1, True)
    shown = run_python("-m", "freight", "top", "--once", f"unix:{path}", "--admin-token-file", str(file))
    assert (shown.returncode, "slots" in shown.stdout) == (0, True), shown.stderr
    assert not any(TOKEN in line for line in server.log)


def test_an_admin_listener_that_others_reach_without_a_secret_is_a_warning(
    huge: Path, serve: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    serve(huge, "--admin", "0.0.0.0:0").wait_for_log("warning", "--admin-token-file")
    quiet = (("--admin", "0.0.0.0:0", "--admin-token-file", str(file)), ("--admin", "127.0.0.1:0"))
    for options in quiet:
        server = serve(huge, *options)
        assert not any("--admin-token-file" in line for line in server.log)
