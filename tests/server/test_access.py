"""Access over real sockets: every answer without permission is the same, and no secret is written anywhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.access_files import ALICE, BEARER, BOB, PASSWORD, TOKEN, basic, write_access_files
from support.raw_h2 import Http2Client
from support.servers import Response, Serve, ServerProcess, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "private" / "deep").mkdir(parents=True)
    (data / "private" / "a.txt").write_text("secret")
    (data / "site").mkdir()
    (data / "site" / "index.html").write_text("secret page")
    (data / "open.txt").write_text("for everyone")
    (data / ".hidden").write_text("hidden")
    return data


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Write the files of users and tokens, and return the options for them."""
    return write_access_files(tmp_path)


def rules(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "freight.toml").write_text(text)
    return ["--config", str(tmp_path / "freight.toml")]


def shape(response: Response) -> tuple[int, dict[str, str], bytes]:
    """Return what an answer tells, without the time."""
    return response.status, {k: v for k, v in response.fields.items() if k != "date"}, response.content


def test_without_permission_a_file_a_directory_and_nothing_get_the_same_answer(
    serve: Serve, folder: Path, files: list[str]
) -> None:
    server = serve(folder, *files)
    targets = ["/open.txt", "/private/", "/private", "/nothing", "/.hidden", "/private/a.txt?x", "/%zz", "/a%2fb"]
    answers = [shape(server.get(target)) for target in targets]
    assert answers[0][0] == 401
    assert answers == [answers[0]] * len(targets)
    for method in ("POST", "DELETE", "OPTIONS", "BREW"):
        with server.connect() as client:
            client.get("/open.txt", method=method)
            assert client.read_response().status == 401
    assert server.get("/open.txt", "Range: bytes=0-1", "If-None-Match: *").status == 401


@pytest.mark.parametrize("credentials", [ALICE, BEARER, basic("x", TOKEN)])
def test_with_permission_files_ranges_conditions_and_listings_are_served(
    serve: Serve, folder: Path, files: list[str], credentials: str
) -> None:
    server = serve(folder, *files)
    whole = server.get("/private/a.txt", credentials)
    assert (whole.status, whole.content, whole.fields["cache-control"]) == (200, b"secret", "private")
    assert "vary" not in whole.fields
    assert server.get("/private/a.txt", credentials, "Range: bytes=1-2").content == b"ec"
    again = server.get("/private/a.txt", credentials, f"If-None-Match: {whole.fields['etag']}")
    assert (again.status, again.fields["cache-control"]) == (304, "private")
    assert server.get("/private/", credentials).status == 200
    assert server.get("/nothing", credentials).status == 404
    assert server.get("/private", credentials).status == 308


PRIVATE = """
[[rule]]
match = "/private/**"
access = ["alice", "ci"]

[[rule]]
match = "/site/index.html"
access = "users"

[[rule]]
match = "/site/**"
index = "index.html"
"""


SPELLINGS = (
    ["/private/a.txt", "/private/", "/private", "/private/nothing", "/private/../private/a.txt", "//private/a.txt"]
    + ["/%70rivate/a.txt", "/private/%61.txt", "/./private/a.txt", "/x/%2e%2e/private/a.txt", "/private//a.txt"]
    + ["/private/a.txt/", "/private/a.txt?a=1", "/private/deep", "/..//private/a.txt", "/site/", "/site/index.html"]
)


def test_no_spelling_of_a_private_path_is_public(serve: Serve, folder: Path, files: list[str], tmp_path: Path) -> None:
    server = serve(folder, *files, "--access", "everyone", *rules(tmp_path, PRIVATE))
    for target in SPELLINGS:
        assert server.get(target).status == 401, target
        allowed = 200 if target.startswith("/site") else 403
        assert server.get(target, BOB).status == allowed, target
        assert server.get(target, ALICE).status in (200, 308, 404), target


def test_rules_permit_everyone_or_some_and_the_setting_decides_about_the_rest(
    serve: Serve, folder: Path, files: list[str], tmp_path: Path
) -> None:
    server = serve(folder, *files, "--access", "everyone", *rules(tmp_path, PRIVATE))
    public = server.get("/open.txt", basic("alice", "wrong"))
    assert (public.status, "cache-control" in public.fields) == (200, False)
    assert server.get("/PRIVATE/a.txt").status == 404
    assert server.get("/%zz").status == 400
    closed = serve(folder, *files, *rules(tmp_path, '[[rule]]\nmatch = "/open.txt"\naccess = "everyone"\n'))
    assert [closed.get(target).status for target in ("/open.txt", "/private/a.txt", "/")] == [200, 401, 401]


def test_the_one_file_that_is_served_has_its_rule_at_both_addresses(
    serve: Serve, folder: Path, files: list[str], tmp_path: Path
) -> None:
    text = '[[rule]]\nmatch = "/open.txt"\naccess = ["alice"]\nheaders = { X-Own = "1" }\n'
    server = serve(folder / "open.txt", *files, "--access", "everyone", *rules(tmp_path, text))
    for target in ("/open.txt", "/", "//", "/?x", "/x/.."):
        assert [server.get(target).status, server.get(target, BOB).status] == [401, 403]
        answer = server.get(target, ALICE)
        assert (answer.status, answer.content, answer.fields["x-own"]) == (200, b"for everyone", "1")


def test_a_compressed_form_needs_the_access_of_its_file(
    serve: Serve, folder: Path, files: list[str], tmp_path: Path
) -> None:
    for suffix in ("gz", "br", "zst"):
        (folder / f"open.txt.{suffix}").write_text("compressed")
    text = '[[rule]]\nmatch = "/*.txt"\naccess = ["alice"]\n'
    server = serve(folder, *files, "--access", "everyone", "--precompressed", *rules(tmp_path, text))
    for suffix in ("gz", "br", "zst"):
        target = f"/x/../open.tx%74.{suffix}"
        assert [server.get(target, *who).status for who in ((), (BOB,), (ALICE,))] == [401, 403, 200]
    assert server.get("/open.txt", "Accept-Encoding: gzip").status == 401
    assert server.get("/other.gz").status == 404


def test_what_users_get_is_private_also_where_every_path_has_a_cache_control(
    serve: Serve, folder: Path, files: list[str]
) -> None:
    server = serve(folder, *files, "--cache-control", "public, max-age=60, must-revalidate")
    assert server.get("/open.txt", ALICE).fields["cache-control"] == "private, max-age=60, must-revalidate"


def test_a_rule_for_users_without_users_is_refused_at_the_start_and_at_a_reload(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    options = rules(tmp_path, PRIVATE)
    command = [sys.executable, "-m", "freight", "serve", str(folder), "--port", "0", "--admin", "none", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 2
    assert "freight.toml:2: access: there are no users; give --users, --tokens or --signing-keys too" in done.stderr
    server = serve(folder, *rules(tmp_path, ""))
    rules(tmp_path, f'users = "{tmp_path / "new"}"\n{PRIVATE}')
    server.signal(signal.SIGHUP)
    server.wait_for_log("needs a restart: users")
    assert server.get("/private/a.txt").status == 403  # there is no user, and nobody else may read it
    assert server.get("/open.txt").status == 200


HOSTILE: list[tuple[tuple[str, ...], int]] = [  # fewer than lock passwords out
    ((ALICE, ALICE), 400),
    ((ALICE, "Authorization: Bearer x"), 400),
    ((BEARER, ALICE), 400),
    (("Authorization: Basic " + "A" * 7000,), 401),
    (("Authorization: Basic //79",), 401),
    (("Authorization: Basic \xff\xfe",), 401),
    (("Authorization: Bearer " + "x" * 7000,), 401),
    (("Authorization: Basic YWxpY2U6AA==",), 401),
    (("Proxy-Authorization: " + ALICE.partition(" ")[2],), 401),
]


def test_hostile_fields_are_refused(serve: Serve, folder: Path, files: list[str]) -> None:
    server = serve(folder, *files)
    for lines, status in HOSTILE:
        assert server.get("/open.txt", *lines).status == status, lines


def test_a_preflight_needs_no_credentials_and_a_refusal_can_be_read_by_the_page(
    serve: Serve, folder: Path, files: list[str]
) -> None:
    server = serve(folder, *files, "--cors-origin", "https://maps.example")
    origin = "Origin: https://maps.example"
    with server.connect() as client:
        client.get("/open.txt", origin, "Access-Control-Request-Method: GET", method="OPTIONS")
        preflight = client.read_response()
    assert (preflight.status, "www-authenticate" in preflight.fields) == (204, False)
    for response in (server.get("/open.txt", origin), server.get("/open.txt", origin, BEARER)):
        assert response.fields["access-control-allow-origin"] == "https://maps.example"


def test_http2_has_the_same_answers(serve: Serve, folder: Path, files: list[str]) -> None:
    server = serve(folder, *files)
    with Http2Client(server) as client:
        assert client.get("/open.txt").status == 401
        assert client.get("/open.txt", ("authorization", ALICE.partition(": ")[2])).content == b"for everyone"
        double = [("authorization", each.partition(": ")[2]) for each in (ALICE, BOB)]
        assert client.get("/open.txt", *double).status == 400


def test_ten_failures_lock_passwords_out_and_not_tokens(serve: Serve, folder: Path, files: list[str]) -> None:
    server = serve(folder, *files)
    assert server.get("/open.txt", ALICE).status == 200
    answers = [server.get("/open.txt", basic("alice", f"wrong{number}")) for number in range(12)]
    assert [each.status for each in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].fields["retry-after"]) <= 30
    assert server.get("/open.txt", ALICE).status == 429
    assert server.get("/open.txt", BEARER).status == 200


def test_the_limit_of_a_client_is_that_of_the_user(serve: Serve, folder: Path, files: list[str]) -> None:
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(64 << 20)
    server = serve(folder, *files, "--max-per-client", "1", "--queue-size", "0")
    with server.connect() as first:
        first.get("/huge.bin", ALICE)
        first.read_exactly(1000)
        assert server.get("/huge.bin", ALICE).status == 503
        with server.connect() as second:  # from the same address
            second.get("/huge.bin", BOB)
            assert second.read_exactly(12) == b"HTTP/1.1 200"


def test_a_reload_takes_effect_and_a_wrong_file_does_not(
    serve: Serve, folder: Path, files: list[str], tmp_path: Path
) -> None:
    server = serve(folder, *files)
    assert server.get("/open.txt", ALICE).status == 200
    users = tmp_path / "users"
    kept = users.read_text()
    users.write_text("alice:plain\n")
    server.signal(signal.SIGHUP)
    assert f"{users}:1: the password of 'alice' is not a bcrypt hash" in server.wait_for_log("not reloaded")
    assert server.get("/open.txt", ALICE).status == 200
    users.write_text(kept.splitlines()[1] + "\n")
    (tmp_path / "tokens").write_text("")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reloaded 1 users and 0 tokens")
    assert [server.get("/open.txt", each).status for each in (ALICE, BEARER, BOB)] == [401, 401, 200]


def test_workers_reload_too(serve: Serve, folder: Path, files: list[str], tmp_path: Path) -> None:
    server = serve(folder, *files, "--workers", "2")
    assert server.get("/open.txt", ALICE).status == 200
    (tmp_path / "tokens").write_text("")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reloaded 2 users and 0 tokens")
    wait_until(lambda: {server.get("/open.txt", BEARER).status for _ in range(3)} <= {401, 429}, "no worker has it")


def test_no_secret_is_in_the_log_the_status_or_an_answer(serve: Serve, folder: Path, files: list[str]) -> None:
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(64 << 20)
    server = serve(folder, *files, "--log-format", "json", admin=True)
    with server.connect() as running:
        running.get("/huge.bin", ALICE)
        running.read_exactly(1000)
        wait_until(lambda: len(server.status()["transfers"]["running"]) == 1, "the download is shown")
        seen = json.dumps(server.status())
    for credentials in (ALICE, BEARER, basic("alice", "a wrong one"), f"{BEARER}x"):
        answer = server.get("/nothing", credentials, "Accept: application/json")
        seen += answer.content.decode() + json.dumps(answer.fields)
    server.wait_for_log("/nothing", count=4)
    seen += "\n".join(server.log)
    encoded = [each.partition(" ")[2] for each in (ALICE, BEARER)]
    assert not [secret for secret in (PASSWORD, TOKEN, "a wrong one", *encoded) if secret in seen]


@pytest.mark.parametrize(
    ("name", "content", "mode", "why"),
    [
        ("users", "alice:plain\n", 0o600, "users:1: the password of 'alice' is not a bcrypt hash"),
        ("users", "", 0o606, "every user of this machine may write it"),
        ("tokens", "ci 12\n", 0o600, "tokens:1: the hash of 'ci' is not 64 hexadecimal digits"),
    ],
)
def test_a_wrong_file_is_an_error_at_the_start(
    folder: Path, files: list[str], tmp_path: Path, name: str, content: str, mode: int, why: str
) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / name).chmod(mode)
    command = [sys.executable, "-m", "freight", "serve", str(folder), "--port", "0", "--admin", "none", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 2
    assert f"freight: --{name}: " in done.stderr
    assert why in done.stderr


def test_clear_text_beyond_this_machine_gets_a_warning(serve: Serve, folder: Path, files: list[str]) -> None:
    server: ServerProcess = serve(folder, *files, host="0.0.0.0")
    server.wait_for_log("warning passwords and tokens are sent in clear text to 0.0.0.0")
