"""The cases of h2spec against a real server: in clear text and over TLS, for a file and a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import KeyPair
from support.h2spec_client import FrameClient
from support.http2_cases import CASES, Case
from support.servers import ServerProcess

_SITES = ("a directory", "a file", "a large file")


@pytest.fixture(scope="module", params=[(site, tls) for site in _SITES for tls in (False, True)], ids=str)
def examined(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pair: KeyPair
) -> Iterator[ServerProcess]:
    """Start a server for all cases, since connections do not affect each other."""
    site, tls = request.param
    root: Path = tmp_path_factory.mktemp("examined")
    if site != "a directory":
        root /= "file"
        root.write_bytes(bytes(6 if site == "a file" else 1 << 20))
    served = ServerProcess((os.fspath(root), *(pair.flags if tls else ())))
    yield served
    served.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_of_h2spec(examined: ServerProcess, case: Case) -> None:
    with FrameClient(examined) as examiner:
        if case.greets:
            examiner.greet()
        for step in case.say(examiner):
            if isinstance(step, bytes):
                examiner.send(step)
            else:
                step(examiner)
        case.expect(examiner)
