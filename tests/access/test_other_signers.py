"""The programs of the how-to page sign and verify as freight does, and freight accepts what they sign."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from freight.access import links
from freight.access.keys import create, load
from freight.access.sign_url import sign_url, url_of
from freight.access.signing import Link, SignedTarget, is_signed_by, read
from freight.model import Request
from support.processes import environment, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "signed-links.md").read_text(encoding="utf-8")
SECRET = bytes(range(32))
PATHS = ("/huge.csv", "/exports/", "/a b/100%.csv", "/\u00fcber/\u65e5\u672c.txt", "/a;b&c=d?e#f+g'\"(1)*~.csv")


def program(language: str) -> str:
    """Return the code after the comment ``<!-- language -->`` of the page."""
    found = re.search(rf"<!-- {language} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def python() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(program("python"), names)
    return names


@pytest.mark.parametrize("path", PATHS)
def test_python_verifies_what_freight_signs(path: str) -> None:
    is_valid, now = python()["is_valid"], 1e9
    made = sign_url(path, keys={"k": SECRET}, expires=60, client="192.0.2.7", filename='\u00fc & "1"+.csv', now=now)
    assert is_valid(made, {"k": SECRET}, now) and is_valid(f"https://files.example.org{made}", {"k": SECRET}, now + 59)
    for wrong in (
        made[:-1],
        made.replace("key=k", "key=x"),
        made.replace("csv&", "csW&"),
        f"{made}&key=k",
        f"/x{made}",
    ):
        assert not is_valid(wrong, {"k": SECRET}, now)
    assert not is_valid(made, {"k": SECRET}, now + 60)
    assert not is_valid(made, {"k": bytes(32)}, now)


def test_python_signs_as_freight_does() -> None:
    link = Link("/a%20b.csv", 2_000_000_000, "k", "192.0.2.0/24", "c.csv")
    signature = python()["signature"](link.path, link.expires, link.key, link.client, link.filename, SECRET)
    assert signature in sign_url(
        "/a b.csv", keys={"k": SECRET}, expires=1, client=link.client, filename="c.csv", now=1999999999
    )
    assert isinstance(
        links.LinkChecker(load_keys()).check(Request("GET", url_of(link, signature), (), client="192.0.2.1"), 1e9),
        Request,
    )


def load_keys() -> Any:
    from freight.access.keys import Keys

    return Keys({"k": SECRET})


@pytest.mark.needs("node")
def test_javascript_signs_what_freight_accepts(tmp_path: Path) -> None:
    asked = [
        {"path": path, "key": "k", "seconds": 60.5, "now": 1e9, "client": client, "filename": name}
        for path in PATHS
        for client, name in (("", ""), ("2001:db8::/32", ""), ("192.0.2.0/24", '\u00fc & "1"+(2)\'*~.csv'))
    ]
    script = tmp_path / "sign.mjs"
    script.write_text(
        program("javascript")
        + f"const secret = Buffer.from({json.dumps(SECRET.hex())}, 'hex');\n"
        + f"for (const {{ path, ...rest }} of {json.dumps(asked)}) console.log(signUrl(path, {{ secret, ...rest }}));\n"
    )
    done = subprocess.run(["node", str(script)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    made = done.stdout.splitlines()
    assert len(made) == len(asked)
    for url, one in zip(made, asked, strict=True):
        signed = read(url)
        assert isinstance(signed, SignedTarget) and is_signed_by(signed, SECRET)
        expected = sign_url(
            one["path"], keys={"k": SECRET}, expires=60.5, now=1e9, client=one["client"], filename=one["filename"]
        )
        assert signed == read(expected)


@pytest.mark.needs("openssl")
def test_a_shell_signs_what_freight_accepts(tmp_path: Path) -> None:
    create(tmp_path / "keys", "other")
    create(tmp_path / "keys", "main")
    done = subprocess.run(
        ["sh", "-euc", program("shell")], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.stderr == ""
    checked = links.LinkChecker(load(tmp_path / "keys")).check(Request("GET", done.stdout.strip(), ()), time.time())
    assert isinstance(checked, Request) and checked.target == "/huge.csv"


def test_importing_freight_loads_nothing_of_it() -> None:
    script = (
        "import sys, freight; print(*(name for name in sys.modules if name.startswith('freight.') or name == 'hmac'))"
    )
    assert run(sys.executable, "-c", script, env=environment()).stdout == "\n"
    script = "import sys, freight.app; print(*(name for name in sys.modules if name.startswith('freight.access')))"
    assert run(sys.executable, "-c", script, env=environment()).stdout == "\n"
    with pytest.raises(ImportError, match="other"):
        exec("from freight import other")
