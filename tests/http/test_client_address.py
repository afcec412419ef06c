"""The address of the client: RFC 7239, X-Forwarded-For, and hostile values of either."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import ConfigurationError
from freight.http.client_address import NO_NETWORKS, Networks, canonical, client_key, true_client
from support.servers import run_python

TRUSTED = Networks.parse(("10.0.0.0/8", "fd00::/8"))
PROXY = "10.0.0.1"
CLIENT = "192.0.2.60"
SPOOFED = "6.6.6.6"

four = st.ip_addresses(v=4).map(str)
six = st.ip_addresses(v=6).map(str)
untrusted = st.one_of(four, six).map(canonical).filter(lambda address: address not in TRUSTED)
trusted = st.integers(0, (1 << 24) - 1).map(lambda number: str(IPv4Address((10 << 24) + number)))


def forwarded(*lines: str) -> tuple[tuple[str, str], ...]:
    return tuple(("forwarded", line) for line in lines)


def x_forwarded_for(*lines: str) -> tuple[tuple[str, str], ...]:
    return tuple(("x-forwarded-for", line) for line in lines)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ("10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "::FFFF:a01:203"), ("9.255.255.255", "::10")),
        ("192.0.2.1", ("192.0.2.1",), ("192.0.2.0", "192.0.2.2")),
        ("192.0.2.1/32", ("192.0.2.1",), ("192.0.2.2",)),
        ("0.0.0.0/0", ("0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"), ("::", "::1")),
        ("2001:db8::/32", ("2001:db8::", "2001:DB8:ffff::1", "2001:db8::1%eth0"), ("2001:db9::", "32.1.13.184")),
        ("fe80::/10", ("fe80::1", "fe80::1%eth0"), ("fec0::",)),
        ("::1", ("::1", "0:0:0:0:0:0:0:1"), ("::", "::2", "127.0.0.1")),
        ("::/0", ("::", "ffff::"), ("1.2.3.4", "::ffff:1.2.3.4")),
        ("::ffff:10.0.0.0/104", ("10.1.2.3", "::ffff:10.1.2.3"), ("11.0.0.0", "::1")),
        ("::ffff:0:0/96", ("0.0.0.0", "255.255.255.255"), ("::1",)),
    ],
)
def test_an_address_is_in_a_network_or_not(network: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    """A mapped address counts as IPv4: a dual-stack socket reports it for an IPv4 client."""
    networks = Networks.parse((network,))
    assert [address for address in inside if address not in networks] == []
    assert [address for address in outside if address in networks] == []


@pytest.mark.parametrize(
    "text",
    ["", "*", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/255.0.0.0", "10.0.0.0/", "10.0.0/8", "10.0.0.01"]
    + ["::/129", "fe80::1%eth0", "2001:db8::1/32", "10.0.0.0/8,::1", " 10.0.0.0/8", "10.0.0.0/-1", "unix:", "/8"],
)
def test_another_text_than_a_network_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a network"):
        Networks.parse(("10.0.0.0/8", text))


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "01.2.3.4", "1.2.3.4 ", "unix:", "[::1]", "1" * 10_000])
def test_another_text_than_an_address_is_in_no_network(address: str) -> None:
    assert address not in Networks.parse(("0.0.0.0/0", "::/0"))


def test_no_networks_are_false_and_contain_no_address() -> None:
    assert not Networks.parse(())
    assert Networks.parse(()) == NO_NETWORKS
    assert "10.0.0.1" not in NO_NETWORKS
    assert TRUSTED


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_an_address_has_one_text(address: str, text: str) -> None:
    """RFC 5952, and IPv4 for mapped addresses."""
    assert canonical(address) == text


@given(st.one_of(four, six))
def test_the_canonical_text_is_stable(address: str) -> None:
    assert canonical(canonical(address)) == canonical(address)


def test_a_peer_that_is_not_trusted_is_the_client_whatever_it_sends() -> None:
    fields = forwarded(f"for={SPOOFED}") + x_forwarded_for(SPOOFED)
    assert true_client(CLIENT, fields, TRUSTED) == CLIENT
    assert true_client("2001:db8::1", fields, TRUSTED) == "2001:db8::1"
    assert true_client(PROXY, fields, NO_NETWORKS) == PROXY


def test_a_trusted_peer_that_names_no_client_is_the_client() -> None:
    assert true_client(PROXY, (("host", "x"),), TRUSTED) == PROXY
    assert true_client(f"::ffff:{PROXY}", (), TRUSTED) == PROXY


WALKS: list[tuple[str, str, str]] = [
    ("one proxy", CLIENT, CLIENT),
    ("a spoofed left part", f"{SPOOFED}, {CLIENT}", CLIENT),
    ("a spoofed proxy", f"{SPOOFED}, 10.0.0.9, {CLIENT}", CLIENT),
    ("a spoofed malformed part", f"%%%, {CLIENT}", CLIENT),
    ("two proxies", f"{CLIENT}, 10.0.0.2", CLIENT),
    ("three proxies and a spoofed part", f"{SPOOFED}, {CLIENT}, 10.0.0.3, 10.0.0.2", CLIENT),
    ("only proxies: the farthest", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("blanks and none", f"{SPOOFED},\t {CLIENT} ,10.0.0.2 ", CLIENT),
    ("malformed: the last that was believed", f"{SPOOFED}, 1.2.3, 10.0.0.2", "10.0.0.2"),
    ("a leading zero", f"{SPOOFED}, 1.2.3.04, 10.0.0.2", "10.0.0.2"),
    ("unknown", f"{SPOOFED}, unknown, 10.0.0.2", "10.0.0.2"),
    ("obfuscated", f"{SPOOFED}, _hidden, 10.0.0.2", "10.0.0.2"),
    ("malformed at the right", f"{SPOOFED}, x", PROXY),
    ("too many octets", f"{SPOOFED}, 1.2.3.4.5", PROXY),
    ("an empty element", f"{SPOOFED}, ,10.0.0.2", "10.0.0.2"),
    ("an empty element at the end", f"{SPOOFED},", PROXY),
    ("nothing", "", PROXY),
    ("blanks", " \t", PROXY),
    ("an escape sequence", "\x1b[31m", PROXY),
    ("digits of another script", "\xb2.\xb2.\xb2.\xb2", PROXY),
]


@pytest.mark.parametrize(("value", "client"), [row[1:] for row in WALKS], ids=[row[0] for row in WALKS])
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(value: str, client: str) -> None:
    assert true_client(PROXY, x_forwarded_for(value), TRUSTED) == client
    pairs = ",".join(f"for={element.strip()}" if element.strip() else "" for element in value.split(","))
    assert true_client(PROXY, forwarded(pairs), TRUSTED) == client


@pytest.mark.parametrize(
    ("element", "client"),
    [
        ("192.0.2.60:4711", CLIENT),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.60", CLIENT),
        ("[::ffff:10.0.0.2]", "10.0.0.2"),
        ("192.0.2.60:port", PROXY),
        ("192.0.2.60:123456", PROXY),
        ("[192.0.2.60]", PROXY),
        ("[2001:db8::1", PROXY),
        ("2001:db8::1]", PROXY),
        ("fe80::1%eth0", PROXY),
        ("[fe80::1%eth0]", PROXY),
        ('"192.0.2.60"', PROXY),
        ("unix:", PROXY),
        ("for=192.0.2.60", PROXY),
        ("192.0.2.60 192.0.2.61", PROXY),
    ],
)
def test_x_forwarded_for_has_addresses_with_ports_and_brackets_or_without(element: str, client: str) -> None:
    assert true_client(PROXY, x_forwarded_for(element), TRUSTED) == client


@pytest.mark.parametrize(
    ("element", "client"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", CLIENT),  # section 4
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),  # section 4
        ('for="192.0.2.60:4711"', CLIENT),
        ('for="192.0.2.60:_port"', CLIENT),  # section 6: an obfuscated port
        ('for="192.0.2.60"', CLIENT),
        ("by=203.0.113.43;FOR=192.0.2.60", CLIENT),
        ('host="a,b;for=6.6.6.6";for=192.0.2.60', CLIENT),  # commas and semicolons in quotes divide nothing
        (";for=192.0.2.60;", CLIENT),  # the grammar lets a pair be empty
        ("for=192.0.2.60 ; proto=https", CLIENT),
        ('for="_gazonk"', PROXY),  # section 4
        ("for=unknown", PROXY),
        ("proto=https", PROXY),  # a proxy that does not say
        ("192.0.2.60", PROXY),
        ("for=192.0.2.60:4711", PROXY),  # a colon must be in quotes
        ("for=[2001:db8::1]", PROXY),
        ('for="2001:db8::1"', PROXY),  # section 6: IPv6 has brackets
        ('for="[2001:db8::1"', PROXY),
        ('for="[192.0.2.60]"', PROXY),
        ('for="[fe80::1%eth0]"', PROXY),
        ('for=""', PROXY),
        ("for=", PROXY),
        ("for =192.0.2.60", PROXY),
        ("for= 192.0.2.60", PROXY),
        ("for=192.0.2.60;for=6.6.6.6", PROXY),  # section 4: each parameter once
        ('for="192.0.2.60', PROXY),
        ('for=192.0.2.60"', PROXY),
        ('for="192.0.2.60"x', PROXY),
        ('for="1\\92.0.2.60"', PROXY),
        ("for='192.0.2.60'", PROXY),
        ("for=192.0.2.60 for=6.6.6.6", PROXY),
    ],
)
def test_forwarded_is_read_by_its_grammar(element: str, client: str) -> None:
    """RFC 7239 section 4; a malformed element is not believed."""
    assert true_client(PROXY, forwarded(element), TRUSTED) == client


@pytest.mark.parametrize(
    "left",
    ['for="', 'for=6.6.6.6;x="', 'for="6.6.6.6', '"', '\\"', 'for="a\\', 'for=6.6.6.6, for="x', '""', '"""', ";", "\\"],
)
@pytest.mark.parametrize("right", ["for=192.0.2.60", 'for="192.0.2.60:1"', 'proto=http;for="192.0.2.60"'])
def test_an_open_quote_of_a_client_hides_no_element_of_a_proxy(left: str, right: str) -> None:
    assert true_client(PROXY, forwarded(f"{left}, {right}"), TRUSTED) == CLIENT
    assert true_client(PROXY, forwarded(left, right), TRUSTED) == CLIENT


def test_several_lines_are_one_list() -> None:
    """RFC 9110 section 5.3. The first line may be the client's own."""
    assert true_client(PROXY, x_forwarded_for(SPOOFED, CLIENT), TRUSTED) == CLIENT
    assert true_client(PROXY, x_forwarded_for(f"{SPOOFED}, {CLIENT}", "10.0.0.3, 10.0.0.2"), TRUSTED) == CLIENT
    assert true_client(PROXY, forwarded(f"for={SPOOFED}", f"for={CLIENT}", "for=10.0.0.2"), TRUSTED) == CLIENT
    assert true_client(PROXY, x_forwarded_for(SPOOFED, ""), TRUSTED) == PROXY


def test_of_a_request_with_both_fields_the_proxy_is_the_client() -> None:
    """One of them may be the client's own, forwarded by the proxy; nothing says which."""
    fields = x_forwarded_for(SPOOFED) + forwarded(f"for={CLIENT}") + x_forwarded_for(SPOOFED)
    assert true_client(PROXY, fields, TRUSTED) == PROXY


def test_the_search_ends_after_32_hops() -> None:
    hops = [f"10.0.1.{number}" for number in range(40)]
    assert true_client(PROXY, x_forwarded_for(", ".join(hops)), TRUSTED) == "10.0.1.8"
    assert true_client(PROXY, x_forwarded_for(*hops), TRUSTED) == "10.0.1.8"


@given(st.text(st.characters(codec="latin-1")), untrusted, st.lists(trusted, max_size=5), st.booleans())
def test_nothing_that_a_client_writes_changes_who_it_is(left: str, client: str, proxies: list[str], x: bool) -> None:
    chain = [client, *proxies]
    if x:
        fields = x_forwarded_for(", ".join([left, *chain]))
    else:
        pairs = [f'for="[{hop}]"' if ":" in hop else f"for={hop}" for hop in chain]
        fields = forwarded(", ".join([left, *pairs]))
    assert true_client(PROXY, fields, TRUSTED) == client


names = st.sampled_from(["forwarded", "x-forwarded-for", "host"])
values = st.one_of(
    st.text(st.characters(codec="latin-1")),
    st.lists(st.sampled_from(['for="', '"', ",", ";", "=", "for=", "1.2.3.4", "[::1]", ":80", "\\", " "])).map("".join),
)


@given(st.lists(st.tuples(names, values)))
def test_the_result_is_a_canonical_address_for_all_fields(fields: list[tuple[str, str]]) -> None:
    everybody = Networks.parse(("0.0.0.0/0", "::/0"))
    client = true_client(PROXY, tuple(fields), everybody)
    assert client in everybody
    assert client == canonical(client)


@given(st.text())
def test_no_text_for_an_address_raises(text: str) -> None:
    assert client_key(text) is not None
    assert true_client(text, x_forwarded_for(SPOOFED), TRUSTED) in (canonical(text), SPOOFED)


@pytest.mark.parametrize(
    "value",
    ['"' * 200_000, '"' * 200_001, "," * 200_000, 'for="' * 50_000, " " * 200_000, ";" * 200_000, "for=a;" * 40_000]
    + ["1" * 200_000, ":" * 200_000, "[" + ":" * 200_000 + "]", "\\" * 200_000, "for=" + "1" * 200_000, '"a"' * 70_000],
)
def test_a_hostile_value_is_parsed_in_linear_time(value: str) -> None:
    """With quadratic time this test would not end."""
    assert true_client(PROXY, forwarded(value), TRUSTED) == PROXY
    assert true_client(PROXY, x_forwarded_for(value), TRUSTED) == PROXY


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", IPv6Address("2001:db8:1:2::").packed[:8]),
        ("2001:db8:1:2::", IPv6Address("2001:db8:1:2::").packed[:8]),
        ("2001:db8:1:3::", IPv6Address("2001:db8:1:3::").packed[:8]),
        ("fe80::1%eth0", IPv6Address("fe80::").packed[:8] + b"eth0"),  # another link, although the prefix is the same
        ("fe80::2%eth0", IPv6Address("fe80::").packed[:8] + b"eth0"),
        ("fe80::2%eth1", IPv6Address("fe80::").packed[:8] + b"eth1"),
        ("", ""),
        ("unix:", "unix:"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_a_site_is_one_client(address: str, key: str | bytes) -> None:
    """RFC 6177: a site has at least a /64, and a host may use any address in it."""
    assert client_key(address) == key


@given(st.ip_addresses(v=6, network="2001:db8::/32"), st.integers(0, (1 << 64) - 1))
def test_the_last_64_bits_never_matter(address: IPv6Address, last: int) -> None:
    other = IPv6Address(int(address) >> 64 << 64 | last)
    assert client_key(str(address)) == client_key(str(other))


def test_ipv4_alone_does_not_load_ipaddress() -> None:
    script = (
        "import sys; from freight.http.client_address import *; Networks.parse(()); client_key('192.0.2.1'); "
        "canonical('192.0.2.1'); true_client('192.0.2.1', (('forwarded', 'for=1.2.3.4'),), NO_NETWORKS); "
        "sys.exit('ipaddress' in sys.modules)"
    )
    assert run_python("-c", script).returncode == 0


def test_the_clients_of_unix_sockets_are_trusted_only_by_name() -> None:
    fields = (("x-forwarded-for", "unix, 192.0.2.7"),)
    assert true_client("unix", fields, Networks.parse(("unix",))) == "192.0.2.7"
    assert true_client("unix", fields, Networks.parse(("0.0.0.0/0", "::/0"))) == "unix"
    assert true_client("192.0.2.1", fields, Networks.parse(("unix",))) == "192.0.2.1"
    assert true_client("unix", (("x-forwarded-for", "192.0.2.9, unix"),), Networks.parse(("unix",))) == "unix"
    assert bool(Networks.parse(("unix",)))
