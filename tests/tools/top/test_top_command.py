"""``freight top`` on the command line: every mistake is one line, and nothing is drawn."""

from __future__ import annotations

import pytest

from freight.cli.main import main
from freight.tools.top.terminal import has_unicode


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' is not an admin address; write 9080, 127.0.0.1:9080 or http://127.0.0.1:9080/"),
        (["--interval", "soon"], "--interval: 'soon' is not a time"),
        (["--interval", "0"], "--interval: must be from 100ms to 1h"),
        (["--interval", "2h"], "--interval: must be from 100ms to 1h"),
        ([], "this is not a terminal; use --once to print a snapshot"),
        (["a", "b"], "unexpected extra argument"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.startswith("freight: "), err.count("\n")) == (True, 1)
    assert said in err


@pytest.mark.parametrize(
    ("encoding", "variables", "expected"),
    [
        ("utf-8", {"LANG": "en_GB.UTF-8"}, True),
        ("utf-8", {"LANG": "C.utf8"}, True),
        ("utf-8", {"LANG": "C", "LC_ALL": "en_GB.UTF-8"}, True),
        ("utf-8", {"LANG": "en_GB.UTF-8", "LC_CTYPE": "C.UTF-8"}, True),
        ("utf-8", {"LC_CTYPE": "en_GB.UTF-8"}, True),
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, False),  # Python's own, where there is no locale
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ("utf-8", {"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, False),
        ("utf-8", {}, False),
        ("iso8859-1", {"LANG": "en_GB.UTF-8"}, False),
        ("ascii", {}, False),
    ],
)
def test_a_terminal_has_more_than_ascii_where_both_python_and_the_locale_say_so(
    encoding: str, variables: dict[str, str], expected: bool
) -> None:
    assert has_unicode(encoding, variables) is expected
