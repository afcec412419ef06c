"""Files of users: what is read, and what is refused with file and line but never with a hash."""

from __future__ import annotations

import pytest

from freight.access import users
from freight.access.passwords import bcrypt_verify
from freight.errors import ConfigurationError

HASH = "$2b$04$" + "a" * 21 + "u" + "a" * 31


def test_lines_are_users_comments_or_empty() -> None:
    text = f"# staff\nalice:{HASH}\r\n\n  \njürgen meier:{HASH.replace('2b', '2y')}\nc.d@e:{HASH.replace('2b', '2a')}"
    assert list(users.parse(text.encode(), "f").hashes) == ["alice", "jürgen meier", "c.d@e"]
    assert users.parse(b"", "f").hashes == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("alice", "no colon"),
        ("alice:", "not a bcrypt hash"),
        ("alice:secret", "not a bcrypt hash"),
        ("alice:$apr1$8sFt66rZ$2eG1MLNJ6G0Qk0/4g0VB3/", "not a bcrypt hash"),
        ("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "not a bcrypt hash"),
        ("alice:$6$abc$defghijk", "not a bcrypt hash"),
        ("alice:rqXexS6ZhobKA", "not a bcrypt hash"),
        (f"alice:{HASH.replace('2b', '2x')}", "not a bcrypt hash"),
        (f"alice:{HASH.replace('u', 'v')}", "not a bcrypt hash"),
        (f"alice:{HASH}a", "not a bcrypt hash"),
        (f"alice:{HASH[:-1]}", "not a bcrypt hash"),
        (f"alice:{HASH}:Alice", "not a bcrypt hash"),
        (f"alice:{HASH} ", "not a bcrypt hash"),
        (f"alice:{HASH.replace('$04', '$03')}", "cost 3"),
        (f"alice:{HASH.replace('$04', '$15')}", "cost 15"),
        (f"alice:{HASH.replace('$04', '$31')}", "cost 31"),
        (f"bob:{HASH}", "'bob' is there already"),
        (f":{HASH}", "cannot be the name"),
        (f"a\tb:{HASH}", "cannot be the name"),
        (f"{'a' * 256}:{HASH}", "at most 255 bytes"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number_and_without_its_hash(line: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        users.parse(f"# staff\nbob:{HASH}\n{line}\n".encode(), "staff.users")
    assert str(caught.value).startswith("staff.users:3: ")
    assert not any(part in str(caught.value) for part in ("aaaa", "apr1", "W6ph", "rqXe"))


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^f:1: the name is not UTF-8"):
        users.parse(b"j\xfcrgen:" + HASH.encode(), "f")


def test_a_file_has_a_bounded_number_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_USERS", 2)
    with pytest.raises(ConfigurationError, match=r"^f:3: a file has at most 2 users"):
        users.parse("".join(f"u{n}:{HASH}\n" for n in range(3)).encode(), "f")


def test_the_decoy_has_the_cost_that_most_users_have() -> None:
    costs = ["$04", "$05", "$05"]
    text = "".join(f"u{n}:{HASH.replace('$04', cost)}\n" for n, cost in enumerate(costs))
    assert users.parse(text.encode(), "f").decoy.startswith(b"$2b$05$")
    assert users.parse(b"", "f").decoy.startswith(b"$2b$10$")


@pytest.mark.parametrize("cost", [4, 5])
def test_a_decoy_is_a_hash_that_the_library_checks_in_full(cost: int) -> None:
    import bcrypt

    decoy = users.parse(f"a:{HASH.replace('$04', f'${cost:02}')}".encode(), "f").decoy
    assert not bcrypt.checkpw(b"secret", decoy)  # it would raise, at once, for what is no hash


def test_the_hashes_of_apache_are_checked() -> None:
    import bcrypt

    ours = bcrypt.hashpw(b"open sesame", b"$2y$04$" + b"G" * 21 + b"u")
    assert ours.startswith(b"$2y$")
    for prefix in (b"$2y$", b"$2b$", b"$2a$"):
        assert bcrypt_verify(b"open sesame", prefix + ours[4:])
        assert not bcrypt_verify(b"open sesam", prefix + ours[4:])


def test_only_the_first_72_bytes_of_a_password_count_as_elsewhere() -> None:
    import bcrypt

    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))
    assert bcrypt_verify(b"x" * 100, stored)
    assert not bcrypt_verify(b"x" * 71, stored)
