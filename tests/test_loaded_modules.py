"""What a server loads whose settings are all the default: modules that only a feature needs are not among it."""

from __future__ import annotations

import re
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import freight
from freight.rfc9110 import PHRASES

ONLY_WITH_A_SETTING = {
    *("freight.access", "freight.http.access", "freight.http.private", "freight.http.rules", "freight.http.globs"),
    *("freight.http.request_id", "freight.server.request_ids", "freight.observe.combined", "freight.observe.log_file"),
    *("freight.config.mounts", "freight.config.rules", "freight.sources.mounted", "freight.prefixed"),
    *("freight.precompressed", "freight.sources.siblings", "freight.server.unix_files", "freight.server.unix_socket"),
    *("freight.sources.served", "freight.observe.admin_token", "bcrypt", "shlex", "http", "encodings.idna", "hmac"),
}


def test_a_server_with_default_settings_loads_no_module_that_only_a_setting_needs() -> None:
    script = (
        "import sys, freight.app, freight.runtime.build\n"
        "from freight.config.types import Address\n"
        "from freight.server.binding import check_overlaps\n"
        "check_overlaps([Address('127.0.0.1', 0)], 'host')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "freight.fileserver" in done.stdout.split()
    assert ONLY_WITH_A_SETTING & set(done.stdout.split()) == set()


def test_every_status_that_is_sent_has_its_phrase() -> None:
    renamed = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable"}
    renamed |= {422: "Unprocessable Content"}
    for status, phrase in PHRASES.items():
        assert phrase == renamed.get(status, HTTPStatus(status).phrase)
    source = "".join(path.read_text() for path in Path(freight.__file__).parent.rglob("*.py"))
    sent = re.findall(r"\b(?:plan_error|ProtocolError|Plan)\(\s*([1-5][0-9]{2})\b", source)
    assert len(set(sent)) > 20
    assert set(map(int, sent)) <= set(PHRASES)
