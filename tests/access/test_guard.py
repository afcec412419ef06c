"""The guard: which requests are permitted, what the others get, and how much work that is. With a fake of bcrypt."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freight.access import sign_in as module
from freight.access.attempts import FORGET_SECONDS, MOST
from freight.access.files import AccessFiles, clear_text_warning
from freight.access.guard import Guard
from freight.errors import ConfigurationError
from freight.http.access import EVERYONE, Access, for_user
from freight.model import Grant, Level, Plan, Request
from support.clocks import ManualClock

TAIL = "a" * 21 + "u" + "a" * 31
RIGHT, OTHER = f"$2b$04${TAIL}", f"$2b$04$b{TAIL[1:]}"
TOKEN, EXPIRED = "freight_" + "t" * 43, "freight_" + "e" * 43


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def request(*values: str, method: str = "GET", target: str = "/a", client: str = "192.0.2.1") -> Request:
    fields = tuple(("authorization", value) for value in values)
    return Request(method, target, fields, client=client, client_key=client)


class Bench:
    """A guard with a fake library, whose right password is "right", and a clock that the test moves."""

    def __init__(self, folder: Path, *, users: bool = True, tokens: bool = True) -> None:
        self.checked: list[tuple[bytes, bytes]] = []
        self.clock = ManualClock()
        self.users_file, self.tokens_file = folder / "users", folder / "tokens"
        self.users_file.write_text(f"alice:{RIGHT}\nbob:{OTHER}\n")
        digests = [hashlib.sha256(text.encode()).hexdigest() for text in (TOKEN, EXPIRED)]
        self.tokens_file.write_text(f"ci {digests[0]}\nold {digests[1]} 2000-01-01\n")
        self.files = AccessFiles(self.users_file if users else None, self.tokens_file if tokens else None)

    def verify(self, password: bytes, stored: bytes) -> bool:
        self.checked.append((password, stored))
        return (password, stored.decode()) in ((b"right", RIGHT), (b"bobs", OTHER))

    def ask(self, *requests: Request | Callable[[], object], access: Access | None = None) -> list[Request | Plan]:
        """Return the outcome of each request. A function among them is called in its place."""

        async def inside() -> list[Request | Plan]:
            guard = Guard(None, self.files, verify=self.verify)
            outcomes = []
            for each in requests:
                if isinstance(each, Request):
                    outcomes.append(await guard.check(each, access, self.clock))
                else:
                    each()
            return outcomes

        return asyncio.run(inside())


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer failures at once. ``tests/access/test_attempts.py`` has the delays."""
    sleep = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda seconds: sleep(0))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def status(outcome: Any) -> int:
    return outcome.status if isinstance(outcome, Plan) else 200


@pytest.mark.parametrize(
    ("values", "granted"),
    [
        ((basic("alice", "right"),), "alice"),
        ((basic("bob", "bobs"),), "bob"),
        ((f"Bearer {TOKEN}",), "ci"),
        ((basic("anything", TOKEN),), "ci"),
        ((basic("alice", TOKEN),), "ci"),
    ],
)
def test_right_credentials_are_permitted(bench: Bench, values: tuple[str, ...], granted: str) -> None:
    (outcome,) = bench.ask(request(*values))
    assert isinstance(outcome, Request)
    assert (outcome.user, outcome.grant) == (granted, Grant(user=granted))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), 401),
        (("Negotiate abc",), 401),
        (("Basic !",), 401),
        ((basic("alice", "wrong"),), 401),
        ((basic("alice", "bobs"),), 401),
        ((basic("Alice", "right"),), 401),
        ((basic("alice ", "right"),), 401),
        ((basic("alice", RIGHT),), 401),  # a hash is no password
        ((basic("alice", ""),), 401),
        ((basic("nobody", "right"),), 401),
        ((basic("ci", "right"),), 401),
        ((f"Bearer {TOKEN[:-1]}x",), 401),
        ((f"Bearer {EXPIRED}",), 401),
        ((basic("x", EXPIRED),), 401),
        ((f"Bearer {hashlib.sha256(TOKEN.encode()).hexdigest()}",), 401),  # nor is the hash of a token
        (("Bearer right",), 401),
        ((basic("alice", "right"), basic("alice", "wrong")), 400),
        ((basic("alice", "right"), basic("alice", "right")), 400),
        ((f"Bearer {TOKEN}", ""), 400),
    ],
)
def test_wrong_credentials_are_refused_and_not_repeated(bench: Bench, values: tuple[str, ...], expected: int) -> None:
    (outcome,) = bench.ask(request(*values))
    assert isinstance(outcome, Plan)
    assert outcome.status == expected
    assert outcome.user == ""
    assert ("Cache-Control", "no-store") in outcome.fields
    shown = repr(outcome)
    assert not any(secret in shown for secret in (TOKEN, EXPIRED, "right", RIGHT, *values) if secret)


def test_a_challenge_names_the_schemes_that_could_succeed(tmp_path: Path) -> None:
    def challenges(values: tuple[str, ...], *, users: bool = True, tokens: bool = True) -> list[str]:
        (outcome,) = Bench(tmp_path, users=users, tokens=tokens).ask(request(*values))
        assert isinstance(outcome, Plan)
        return [value for name, value in outcome.fields if name == "WWW-Authenticate"]

    ask, bearer = 'Basic realm="freight", charset="UTF-8"', 'Bearer realm="freight"'
    assert challenges(()) == [ask, bearer]
    assert challenges((), tokens=False) == [ask]
    assert challenges((), users=False) == [ask, bearer]  # a token may stand in place of a password
    assert challenges((f"Bearer {EXPIRED}",)) == [ask, f'{bearer}, error="invalid_token"']
    assert challenges(("Bearer x",)) == [ask, f'{bearer}, error="invalid_token"']


def test_head_gets_the_refusal_without_content(bench: Bench) -> None:
    get, head = bench.ask(request(), request(method="HEAD"))
    assert isinstance(get, Plan)
    assert isinstance(head, Plan)
    assert (head.status, head.fields, head.length, head.parts) == (401, get.fields, get.length, ())


def test_a_public_path_costs_no_check_whatever_the_request_has(bench: Bench) -> None:
    outcomes = bench.ask(request(), request(basic("alice", "wrong")), request("x", "y"), access=EVERYONE)
    assert [getattr(outcome, "grant", None) for outcome in outcomes] == [Grant()] * 3
    assert bench.checked == []
    assert bench.ask(request(method="OPTIONS", target="*")) == [request(method="OPTIONS", target="*")]


def test_a_rule_may_permit_some_users_and_tokens_only(bench: Bench) -> None:
    some = Access(names=frozenset({"bob", "ci"}))
    asked = [request(basic("alice", "right")), request(basic("bob", "bobs")), request(f"Bearer {TOKEN}"), request()]
    outcomes = bench.ask(*asked, access=some)
    assert [status(each) for each in outcomes] == [403, 200, 200, 401]
    refused = outcomes[0]
    assert isinstance(refused, Plan)
    assert refused.user == "alice"
    assert not any(name == "WWW-Authenticate" for name, _ in refused.fields)


def test_the_same_work_is_done_for_known_and_unknown_users(bench: Bench) -> None:
    bench.ask(request(basic("alice", "wrong")), request(basic("nobody", "wrong")))
    (password, known), (same, decoy) = bench.checked
    assert password == same == b"wrong"
    assert known == RIGHT.encode()
    assert decoy[:7] == known[:7]  # the cost
    assert decoy not in bench.files.users.hashes.values()  # type: ignore[union-attr]


def test_a_password_is_checked_once_and_a_token_never_in_a_thread(bench: Bench) -> None:
    outcomes = bench.ask(*[request(basic("alice", "right"))] * 20, *[request(f"Bearer {TOKEN}")] * 20)
    assert {status(each) for each in outcomes} == {200}
    assert len(bench.checked) == 1


def test_after_many_failures_nothing_is_checked_not_even_what_is_right(bench: Bench) -> None:
    wrong = [request(basic("alice", f"wrong{number}")) for number in range(MOST)]
    right, elsewhere = request(basic("alice", "right")), request(basic("alice", "right"), client="192.0.2.2")
    token = request(f"Bearer {TOKEN}")
    outcomes = bench.ask(right, *wrong, right, elsewhere, token, request(), request("Bearer x"))
    assert [status(each) for each in outcomes] == [200, *[401] * MOST, 429, 200, 200, 401, 429]
    assert len(bench.checked) == 1 + MOST
    locked = outcomes[MOST + 1]
    assert isinstance(locked, Plan)
    assert ("Retry-After", str(int(FORGET_SECONDS))) in locked.fields


def test_a_client_that_waited_may_try_again(bench: Bench) -> None:
    def wait() -> None:
        bench.clock.seconds += FORGET_SECONDS

    wrong = [request(f"Bearer {number}") for number in range(MOST + 1)]
    asked = [*wrong, wait, request(basic("alice", "right"))]
    assert [status(each) for each in bench.ask(*asked)] == [*[401] * MOST, 429, 200]


def test_a_reload_takes_effect_for_passwords_that_are_remembered(bench: Bench) -> None:
    def rewrite(users: str) -> Callable[[], object]:
        def change() -> None:
            bench.users_file.write_text(users)
            assert bench.files.reload()[0][0] is Level.INFO

        return change

    right = request(basic("alice", "right"))
    changed, removed = rewrite(f"alice:{OTHER}\n"), rewrite(f"bob:{OTHER}\n")
    outcomes = bench.ask(right, right, changed, right, request(basic("alice", "bobs")), removed, right)
    assert [status(each) for each in outcomes] == [200, 200, 401, 200, 401]


@pytest.mark.parametrize("content", ["alice:secret\n", "alice\n", None])
def test_an_invalid_file_changes_nothing_at_a_reload(bench: Bench, content: str | None) -> None:
    before = bench.files.users, bench.files.tokens
    bench.tokens_file.write_text("")
    if content is None:
        bench.users_file.unlink()
    else:
        bench.users_file.write_text(content)
    ((level, message),) = bench.files.reload()
    assert level is Level.WARNING
    assert message.startswith("users and tokens not reloaded, keeping the current ones: --users: ")
    assert "secret" not in message
    assert (bench.files.users, bench.files.tokens) == before


def test_files_that_are_too_large_or_that_others_may_write_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"#\n" * (1 << 20) + b"#")
    with pytest.raises(ConfigurationError, match=r"users: cannot read .*: it is longer than 2048 KiB"):
        AccessFiles(file, None)
    file.write_text("")
    file.chmod(0o602)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        AccessFiles(file, None)
    with pytest.raises(ConfigurationError, match="tokens: cannot read"):
        AccessFiles(None, tmp_path / "none")


def test_a_user_shares_as_one_client_from_every_address(bench: Bench) -> None:
    outcomes = bench.ask(*[request(basic("alice", "right"), client=f"192.0.2.{n}") for n in range(3)])
    assert {each.client_key for each in outcomes if isinstance(each, Request)} == {"user:alice"}
    anonymous = bench.ask(request(basic("alice", "right")), access=EVERYONE)[0]
    assert isinstance(anonymous, Request)
    assert anonymous.client_key == "192.0.2.1"


def test_an_answer_to_a_user_is_private_whatever_a_rule_says() -> None:
    plan = Plan(200, (("ETag", '"1"'),))
    assert for_user(plan, "alice").fields == (*plan.fields, ("Cache-Control", "private"))
    fields = (("Cache-Control", "public, max-age=60, must-revalidate"), ("CDN-Cache-Control", "max-age=60"))
    kept = (("Cache-Control", "private, max-age=60, must-revalidate"),)
    assert for_user(Plan(200, fields), "alice").fields == kept
    assert for_user(Plan(200, kept), "alice").fields == kept
    assert for_user(plan, "alice").user == "alice"


@pytest.mark.parametrize(
    ("hosts", "encrypted", "behind_proxy", "warns"),
    [
        (("127.0.0.1",), False, False, False),
        (("127.0.0.53", "::1", "localhost", "unix:/run/freight.sock"), False, False, False),
        (("0.0.0.0",), False, False, True),
        (("127.0.0.1", "::"), False, False, True),
        (("files.example",), False, False, True),
        (("127.example",), False, False, True),
        (("0.0.0.0",), True, False, False),
        (("0.0.0.0",), False, True, False),
    ],
)
def test_credentials_in_clear_text_get_a_warning(
    hosts: tuple[str, ...], encrypted: bool, behind_proxy: bool, warns: bool
) -> None:
    warning = clear_text_warning(hosts, encrypted=encrypted, behind_proxy=behind_proxy)
    assert bool(warning) == warns
    assert hosts[-1] in warning or not warns


def test_a_client_that_does_not_wait_for_its_checks_has_no_more_of_them(bench: Bench) -> None:
    """Otherwise a client that resets each request at once fills the queue of passwords for all others."""
    released = threading.Event()

    def verify(password: bytes, stored: bytes) -> bool:
        released.wait(10)
        return bench.verify(password, stored)

    async def inside() -> tuple[list[int], int]:
        guard = Guard(None, bench.files, verify=verify)
        statuses = []
        for number in range(MOST + 5):
            check = asyncio.create_task(guard.check(request(basic("alice", f"wrong{number}")), None, bench.clock))
            await asyncio.sleep(0)
            if not check.done():
                check.cancel()
                await asyncio.wait([check])
            statuses.append(0 if check.cancelled() else status(check.result()))
        assert guard._sign_in is not None
        outcomes = [check.outcome for check in guard._sign_in._checks._pending.values()]
        released.set()
        await asyncio.wait(outcomes, timeout=10)
        return statuses, status(await guard.check(request(basic("alice", "right")), None, bench.clock))

    statuses, after = asyncio.run(inside())
    assert statuses == [0] * MOST + [429] * 5
    assert (after, len(bench.checked)) == (429, MOST)


def test_a_password_is_checked_once_for_two_rules(bench: Bench) -> None:
    """The address of a directory that serves its index.html needs the access of both."""

    async def inside() -> list[object]:
        guard = Guard(None, bench.files, verify=bench.verify)
        first = await guard.check(request(basic("alice", "right")), None, bench.clock)
        assert isinstance(first, Request)
        bench.users_file.write_text(f"bob:{OTHER}\n")
        bench.files.reload()  # the answer to the first check holds for the whole request
        second = await guard.check(first, Access(names=frozenset({"alice"})), bench.clock)
        third = await guard.check(first, Access(names=frozenset({"bob"})), bench.clock)
        return [status(second), status(third)]

    assert asyncio.run(inside()) == [200, 403]
    assert len(bench.checked) == 1
