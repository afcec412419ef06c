"""What h2spec examines, of a real server: in clear text and over TLS, whatever is at its root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Pair
from examiner import Examiner
from http2_cases import CASES, Case
from serving import Served

_SITES = ("a directory", "a file", "a large file")


@pytest.fixture(scope="module", params=[(site, tls) for site in _SITES for tls in (False, True)], ids=str)
def examined(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[Served]:
    """A server for all cases: what one connection does is nothing to the next."""
    site, tls = request.param
    root: Path = tmp_path_factory.mktemp("examined")
    if site != "a directory":
        root /= "file"
        root.write_bytes(bytes(6 if site == "a file" else 1 << 20))
    served = Served((os.fspath(root), *(pair.flags if tls else ())), "127.0.0.1", None, None)
    yield served
    served.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_of_h2spec(examined: Served, case: Case) -> None:
    with Examiner(examined) as examiner:
        if case.greets:
            examiner.greet()
        for step in case.say(examiner):
            if isinstance(step, bytes):
                examiner.send(step)
            else:
                step(examiner)
        case.expect(examiner)
