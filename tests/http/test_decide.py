"""From a request and the located resource to a status, fields and content (RFC 9110)."""

import json
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import dates
from freight.http.decide import MAX_RANGES, plan_rejection, plan_response, with_queue_timing
from freight.http.error_response import plan_error
from freight.http.rejections import sentence
from freight.http.target import parse
from freight.model import NotFound, NotFoundReason, Plan, Rejected, RejectReason, Request, Resource, Span, WaitReason

MODIFIED = 1_000_000_000
NOW = MODIFIED + 1000.25
SIZE = 1000
FILE = Resource("data.csv", SIZE, MODIFIED * 10**9 + 5, ("text/csv",))
EMPTY = Resource("empty.txt", 0, MODIFIED * 10**9, ("text/plain",))
STREAM = Resource("data.csv", None, MODIFIED * 10**9, ("application/octet-stream",))
LISTING = Resource("", None, None, ("text/html", "application/json"))
ETAG = f'"{SIZE:x}-{MODIFIED * 10**9 + 5:x}"'
DATE = dates.format(MODIFIED)
FULL = Rejected(RejectReason.FULL, 90, WaitReason.SLOTS)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def answer(
    found: Resource | NotFound = FILE, method: str = "GET", target: str = "/data.csv", **fields: str
) -> tuple[Plan, dict[str, str]]:
    written = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    plan = plan_response(Request(method, target, written), found, NOW)
    assert len({name.lower() for name, _ in plan.fields}) == len(plan.fields), "a field is there twice"
    return plan, dict(plan.fields)


def content_length(plan: Plan) -> int:
    return sum(len(part) if isinstance(part, bytes) else (part.stop or 0) - part.start for part in plan.parts)


def said(plan: Plan) -> str:
    """Return the text of an error."""
    (content,) = plan.parts
    assert isinstance(content, bytes)
    return content.decode()


def test_a_file_is_described_and_sent_whole() -> None:
    plan, fields = answer()
    assert plan == Plan(200, plan.fields, (Span(0, SIZE),), SIZE, media_type="text/csv")
    assert fields == {
        "Content-Type": "text/csv",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": ETAG,
        "Last-Modified": DATE,
        "Content-Disposition": 'attachment; filename="data.csv"',
    }


def test_an_empty_file_is_sent_without_a_span() -> None:
    plan, fields = answer(EMPTY)
    assert (plan.status, plan.parts, plan.length, plan.content) == (200, (), 0, True)
    assert fields["Content-Type"] == "text/plain; charset=utf-8"


def test_a_representation_of_unknown_size_has_no_length_no_ranges_and_no_tag() -> None:
    plan, fields = answer(STREAM, range="bytes=0-1")
    assert (plan.status, plan.parts, plan.length) == (200, (Span(0, None),), None)
    assert fields["Accept-Ranges"] == "none"
    assert "ETag" not in fields
    assert fields["Last-Modified"] == DATE


@pytest.mark.parametrize(
    ("accept", "media_type", "written"),
    [
        (FIREFOX, "text/html", "text/html; charset=utf-8"),
        ("application/json", "application/json", "application/json"),
        ("image/png", "text/html", "text/html; charset=utf-8"),
    ],
)
def test_a_listing_is_negotiated_and_must_be_revalidated(accept: str, media_type: str, written: str) -> None:
    plan, fields = answer(LISTING, accept=accept)
    assert (plan.status, plan.media_type, fields["Content-Type"]) == (200, media_type, written)
    assert (fields["Vary"], fields["Cache-Control"]) == ("Accept", "no-cache")
    assert not {"ETag", "Last-Modified", "Content-Disposition"} & fields.keys()
    assert ("Content-Security-Policy" in fields) is (media_type == "text/html")


def test_a_browser_gets_pages_of_a_listing_and_programs_get_all_of_it() -> None:
    listing = replace(LISTING, browser_type="pages", policy="default-src 'self'")
    opened = {accept: answer(listing, accept=accept)[0].media_type for accept in (FIREFOX, "*/*", "application/json")}
    assert opened == {FIREFOX: "pages", "*/*": "text/html", "application/json": "application/json"}
    assert dict(answer(listing, accept=FIREFOX)[0].fields)["Content-Type"] == "text/html; charset=utf-8"
    assert dict(answer(listing, accept=FIREFOX)[0].fields)["Content-Security-Policy"] == "default-src 'self'"


def test_two_representations_of_one_resource_have_two_tags() -> None:
    both = Resource("a", 5, 7, ("text/plain", "application/json"))
    tags = {answer(both, accept=accept)[1]["ETag"] for accept in both.media_types}
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("value", "content_range", "span"),
    [
        ("bytes=0-0", "bytes 0-0/1000", Span(0, 1)),
        ("bytes=990-", "bytes 990-999/1000", Span(990, 1000)),
        ("bytes=-10", "bytes 990-999/1000", Span(990, 1000)),
        ("bytes=0-5000", "bytes 0-999/1000", Span(0, 1000)),
        ("bytes=0-9,5-19", "bytes 0-19/1000", Span(0, 20)),
        ("bytes=0-9,2000-", "bytes 0-9/1000", Span(0, 10)),
    ],
)
def test_one_range_is_sent_as_it_is(value: str, content_range: str, span: Span) -> None:
    """RFC 9110 section 15.3.7.1."""
    plan, fields = answer(range=value)
    assert (plan.status, plan.parts, plan.length) == (206, (span,), content_length(plan))
    assert (fields["Content-Range"], fields["ETag"], fields["Content-Type"]) == (content_range, ETAG, "text/csv")


def test_several_ranges_are_sent_in_an_envelope() -> None:
    """RFC 9110 section 15.3.7.2: only the parts have a Content-Range."""
    plan, fields = answer(range="bytes=0-9,-10")
    kind, _, boundary = fields["Content-Type"].partition("; boundary=")
    assert (plan.status, kind, plan.length) == (206, "multipart/byteranges", content_length(plan))
    assert plan.spans == (Span(0, 10), Span(990, 1000))
    assert plan.parts[-1] == f"\r\n--{boundary}--\r\n".encode()
    assert "Content-Range" not in fields
    assert plan == answer(range="bytes=0-9,-10")[0]


@pytest.mark.parametrize(
    "value",
    ["bytes=5-1", "lines=0-1", "bytes=", "bytes=" + ",".join(f"{3 * at}-{3 * at}" for at in range(MAX_RANGES + 1))],
)
def test_an_invalid_range_is_answered_with_the_whole(value: str) -> None:
    plan, fields = answer(range=value)
    assert (plan.status, plan.parts) == (200, (Span(0, SIZE),))
    assert "Content-Range" not in fields


def test_an_unsatisfiable_range_is_416_with_the_size() -> None:
    plan, fields = answer(range="bytes=1000-")
    assert (plan.status, plan.spans, fields["Content-Range"]) == (416, (), "bytes */1000")
    assert said(plan) == (
        "416 Range Not Satisfiable: The range starts after the end of the file, which has 1,000 bytes (1.00\xa0kB). "
        "A copy of that size is complete.\n"
    )


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-"])
def test_a_range_of_an_empty_file_is_answered_with_the_whole_of_it(value: str) -> None:
    """nginx's slice module and clients that resume ask so; no Content-Range can express an empty range."""
    plan, fields = answer(EMPTY, range=value)
    assert (plan.status, plan.length, "Content-Range" in fields) == (200, 0, False)


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {"range": "bytes=0-1", "if_range": ETAG}, 206),
        ("GET", {"range": "bytes=0-1", "if_range": DATE}, 206),
        ("GET", {"range": "bytes=0-1", "if_range": f"W/{ETAG}"}, 200),
        ("GET", {"range": "bytes=0-1", "if_range": '"old"'}, 200),
        ("GET", {"range": "bytes=5000-", "if_range": '"old"'}, 200),
        ("GET", {"if_range": '"old"'}, 200),
        ("HEAD", {"range": "bytes=0-1"}, 200),
        ("HEAD", {"range": "bytes=5000-"}, 200),
        ("GET", {"range": "bytes=0-1", "if_none_match": ETAG}, 304),
        ("GET", {"range": "bytes=5000-", "if_none_match": ETAG}, 304),
        ("GET", {"range": "bytes=0-1", "if_match": '"old"'}, 412),
        ("GET", {"range": "bytes=0-1", "if_match": ETAG}, 206),
        ("GET", {"if_modified_since": DATE}, 304),
        ("HEAD", {"if_modified_since": DATE}, 304),
        ("GET", {"if_unmodified_since": dates.format(0)}, 412),
        ("OPTIONS", {"if_match": '"old"'}, 204),
        ("POST", {"if_match": '"old"'}, 405),
        ("GET", {"expect": "100-continue"}, 200),
        ("GET", {"expect": "100-Continue"}, 200),
        ("GET", {"expect": "200-maybe"}, 417),
        ("GET", {"expect": "100-continue, x=1"}, 417),
    ],
)
def test_the_status_follows_from_preconditions_then_ranges(method: str, fields: dict[str, str], status: int) -> None:
    """RFC 9110 sections 10.1.1, 13.2 and 14.2."""
    assert answer(FILE, method, "/data.csv", **fields)[0].status == status


def test_a_304_carries_what_a_cache_needs_and_no_content() -> None:
    """RFC 9110 sections 15.4.5 and 8.6."""
    plan, fields = answer(if_none_match=ETAG)
    assert (plan.status, plan.parts, plan.content, plan.length) == (304, (), False, SIZE)
    assert fields == {"ETag": ETAG, "Last-Modified": DATE}


@pytest.mark.parametrize(
    ("method", "status"),
    [("POST", 405), ("PUT", 405), ("DELETE", 405), ("TRACE", 405), ("CONNECT", 405), ("PATCH", 405)]
    + [("PROPFIND", 405), ("BREW", 501), ("get", 501), ("", 501)],
)
def test_a_known_method_is_not_allowed_and_an_unknown_one_not_implemented(method: str, status: int) -> None:
    """RFC 9110 section 9.1; section 15.5.6 demands Allow."""
    plan, fields = answer(method=method)
    assert (plan.status, fields["Allow"]) == (status, "GET, HEAD, OPTIONS")
    assert answer(NotFound(NotFoundReason.ABSENT), method=method)[0].status == status


def test_options_lists_the_allowed_methods() -> None:
    """RFC 9110 section 9.3.7."""
    for found, target in ((FILE, "/data.csv"), (NotFound(NotFoundReason.MALFORMED), "*")):
        plan, fields = answer(found, "OPTIONS", target)
        assert (plan.status, plan.parts, plan.content) == (204, (), False)
        assert fields == {"Allow": "GET, HEAD, OPTIONS"}
    assert answer(NotFound(NotFoundReason.ABSENT), "OPTIONS")[0].status == 404
    assert answer(FILE, "GET", "*")[0].status == 400


@pytest.mark.parametrize(
    ("absence", "status", "extra"),
    [
        (NotFound(NotFoundReason.ABSENT), 404, {}),
        (NotFound(NotFoundReason.UNREADABLE), 403, {}),
        (NotFound(NotFoundReason.MALFORMED), 400, {}),
        (NotFound(NotFoundReason.BUSY), 503, {"Retry-After": "1"}),
        (NotFound(NotFoundReason.MOVED, "/x/a%20b/"), 308, {"Location": "a%20b/"}),
    ],
)
def test_each_reason_for_not_found_has_its_status(absence: NotFound, status: int, extra: dict[str, str]) -> None:
    plan, fields = answer(absence, if_match="*", range="bytes=0-1")
    assert (plan.status, plan.length, plan.spans) == (status, content_length(plan), ())
    assert plan.length
    assert fields == {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Vary": "Accept",
        **extra,
    }


@pytest.mark.parametrize(
    ("target", "href"),
    [
        ("/nothing", "./"),
        ("/a/b/nothing?x=/", "../../"),
        ("/a/", "../"),
        ("//one", "../"),
        ("/a" * 65, "../" * 64),
    ],
)
def test_an_error_page_links_to_all_files_behind_a_proxy_with_a_prefix_too(target: str, href: str) -> None:
    for found, fields in (
        (NotFound(NotFoundReason.ABSENT), {}),
        (FILE, {"range": "bytes=5000-"}),
        (FILE, {"if_match": '"old"'}),
    ):
        assert f'<a href="{href}">' in said(answer(found, target=target, accept=FIREFOX, **fields)[0])
    rejected = plan_rejection(Request("GET", target, (("accept", FIREFOX),)), FULL, FILE)
    assert f'<a href="{href}">\u2190 All files</a>' in said(rejected)


def test_an_error_page_of_a_path_with_too_many_segments_has_no_link() -> None:
    """A relative one would be as long as the path, and an absolute one leads out of a prefix."""
    absent = NotFound(NotFoundReason.ABSENT)
    assert "<a " not in said(answer(absent, target="/a" * 66, accept=FIREFOX)[0])


def test_an_error_at_the_root_has_no_link_to_it() -> None:
    assert "<a " not in said(answer(LISTING, "POST", "/", accept=FIREFOX)[0])


def test_errors_of_a_server_of_one_file_link_to_it() -> None:
    plan, _ = answer(NotFound(NotFoundReason.ABSENT, only_file="a b.csv"), target="/wrong/name", accept=FIREFOX)
    assert "This server serves one file: a b.csv" in said(plan)
    assert '<a href="../a%20b.csv">Download a b.csv</a>' in said(plan)
    assert said(answer(NotFound(NotFoundReason.ABSENT, only_file="b\x1b.csv"), target="/x")[0]).endswith(
        "one file: b\\x1b.csv\n"
    )
    one = replace(FILE, only_file="data.csv")
    plan, _ = answer(one, target="/data.csv", accept=FIREFOX, range="bytes=5000-")
    assert '<a href="./data.csv">Download data.csv</a>' in said(plan)
    assert "<a " not in said(plan_rejection(Request("GET", "/data.csv", (("accept", FIREFOX),)), FULL, one))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_missing_icon_is_not_an_error(method: str) -> None:
    for absence in (NotFound(NotFoundReason.ABSENT), NotFound(NotFoundReason.ABSENT, only_file="data.csv")):
        plan, fields = answer(absence, method, "/favicon.ico")
        assert (plan.status, plan.parts, plan.content) == (204, (), False)
        assert fields == {"Cache-Control": "max-age=86400"}
    assert answer(FILE, method, "/favicon.ico")[0].status == 200
    assert answer(NotFound(NotFoundReason.UNREADABLE), method, "/favicon.ico")[0].status == 403
    assert answer(NotFound(NotFoundReason.ABSENT), method, "/a/favicon.ico")[0].status == 404


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("//evil.example/", "evil.example/"),
        ("///evil.example/", "evil.example/"),
        ("/\\evil.example/", "%5Cevil.example/"),
        ("\\\\evil.example/", "%5C%5Cevil.example/"),
        ("https://evil.example/", "evil.example/"),
        ("/https:/", "./https:/"),
        ("/a\r\nSet-Cookie: x/", "./a%0D%0ASet-Cookie:%20x/"),
        ("/\xc3\xa9/", "%C3%A9/"),
        ("/a/?\xc3\xa9", "a/?%C3%A9"),
        ('/"<a>"/', "%22%3Ca%3E%22/"),
        ("/x/a/?sort=size", "a/?sort=size"),
        ("/x/a/?next=//evil.example/", "a/?next=//evil.example/"),
    ],
)
def test_a_redirect_is_relative_and_never_leads_to_another_server(location: str, sent: str) -> None:
    """A proxy that strips a prefix sends it on as it is (RFC 9110 section 10.2.2)."""
    assert answer(NotFound(NotFoundReason.MOVED, location))[1]["Location"] == sent


@pytest.mark.parametrize("target", ["/x/a:b", "/x//a:b", "//x/a:b", "/x/./a:b", "/x/%2e%2e/x/a:b", "/x/a:b?sort=size"])
@pytest.mark.parametrize("prefix", ["", "/prefix"])
def test_a_redirect_is_right_for_every_spelling_and_behind_a_prefix(prefix: str, target: str) -> None:
    """What a client makes of it (RFC 3986 section 5) names the same directory, with its slash."""
    sent = answer(NotFound(NotFoundReason.MOVED, "/x/a:b/" + target[len(target.partition("?")[0]) :]))[1]["Location"]
    followed = urlsplit(urljoin(f"http://host{prefix}{target}", sent))
    assert followed.netloc == "host" and followed.path.startswith(prefix)
    found = parse(followed.path.removeprefix(prefix))
    assert found is not None and (found.segments, found.directory) == (("x", "a:b"), True)
    assert followed.query == target.partition("?")[2]


def test_an_error_has_the_form_that_accept_prefers() -> None:
    plan, fields = answer(NotFound(NotFoundReason.ABSENT), accept="application/json")
    assert fields["Content-Type"] == "application/problem+json"
    assert isinstance(plan.parts[0], bytes)
    assert json.loads(plan.parts[0])["status"] == 404
    assert "default-src 'none'" in answer(NotFound(NotFoundReason.ABSENT), accept=FIREFOX)[1]["Content-Security-Policy"]


def test_a_refusal_can_close_and_carry_fields() -> None:
    plan = plan_error(431, "Too many fields.", fields=(("Retry-After", "1"),), close=True)
    assert (plan.status, plan.close, plan.fields[-1]) == (431, True, ("Retry-After", "1"))


@pytest.mark.parametrize("why", RejectReason)
def test_a_rejection_has_the_reason_and_retry_after(why: RejectReason) -> None:
    """RFC 9110 sections 15.6.4 and 10.2.3."""
    rejected = Rejected(why, 12, WaitReason.SLOTS, running=3)
    plan = plan_rejection(Request("GET", "/data.csv", ()), rejected)
    assert (plan.status, plan.length, plan.close) == (503, content_length(plan), False)
    assert dict(plan.fields) == {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Vary": "Accept",
        "Retry-After": "12",
    }
    assert sentence(rejected) in said(plan) and said(plan).endswith(" Try again in 12 seconds.\n")
    assert plan.reject_code == rejected.code


@pytest.mark.parametrize("why", RejectReason)
@pytest.mark.parametrize("accept", ["text/plain", FIREFOX, "application/json"])
def test_a_rejection_of_head_is_that_of_get_without_content(why: RejectReason, accept: str) -> None:
    fields = (("accept", accept),)
    get = plan_rejection(Request("GET", "/", fields), Rejected(why, 7))
    head = plan_rejection(Request("HEAD", "/", fields), Rejected(why, 7))
    assert (head.status, head.fields, head.length, head.parts, head.content) == (503, get.fields, get.length, (), False)


def test_a_rejection_has_the_form_that_accept_prefers() -> None:
    problem = plan_rejection(Request("GET", "/", (("accept", "application/json"),)), FULL)
    assert isinstance(problem.parts[0], bytes)
    assert json.loads(problem.parts[0])["retry_after_seconds"] == 90
    page = plan_rejection(Request("GET", "/", (("accept", FIREFOX),)), FULL)
    assert isinstance(page.parts[0], bytes)
    assert b'http-equiv="refresh" content="90"' in page.parts[0]
    assert {"Content-Security-Policy", "Retry-After"} <= dict(page.fields).keys()


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(0.0123, "12.3"), (0.0, "0.0"), (30.0, "30000.0"), (-1e-9, "0.0"), (86400.5, "86400500.0")],
)
def test_server_timing_has_the_time_in_the_queue(seconds: float, duration: str) -> None:
    """W3C Server Timing section 2: the name of a metric, and its duration in milliseconds."""
    for plan in (answer()[0], answer(range="bytes=0-1")[0], plan_rejection(Request("GET", "/", ()), FULL)):
        slow = with_queue_timing(plan, seconds)
        assert slow.fields == (*plan.fields, ("Server-Timing", f"queue;dur={duration}"))
        assert replace(slow, fields=plan.fields) == plan


sizes = st.one_of(st.none(), st.integers(0, 2**40))
times = st.one_of(st.none(), st.integers(-(2**62), 2**63))
types = st.sampled_from([("text/plain",), ("text/html", "application/json"), ("image/svg+xml",)])
resources = st.builds(Resource, st.sampled_from(["", "a.csv", "é\r\n"]), sizes, times, types)
found = st.one_of(resources, st.builds(NotFound, st.sampled_from(NotFoundReason), st.text()))
names = st.sampled_from(
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "accept", "expect"]
)
values = st.one_of(st.text(), st.sampled_from(["*", "*/*", DATE, ETAG, "bytes=0-0", "bytes=0-0,5-9", "100-continue"]))
fields_of = st.lists(st.tuples(names, values), max_size=5).map(tuple)


@given(found, st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "X"]), fields_of)
def test_no_request_raises_and_every_plan_is_complete(
    located: Resource | NotFound, method: str, fields: tuple[tuple[str, str], ...]
) -> None:
    plan = plan_response(Request(method, "/", fields), located, NOW)
    for name, value in plan.fields:
        assert (name + value).isascii()
        assert (name + value).isprintable()
    if not plan.content:
        assert plan.parts == ()
    elif plan.length is not None:
        assert plan.length == content_length(plan)
    else:
        assert plan.parts == (Span(0, None),)
    if plan.status in (204, 304) or method == "HEAD":
        assert not plan.content


@given(found, fields_of)
def test_head_is_get_without_content(located: Resource | NotFound, fields: tuple[tuple[str, str], ...]) -> None:
    """RFC 9110 section 9.3.2; Range has no meaning for HEAD (section 14.2)."""
    unranged = tuple((name, value) for name, value in fields if name != "range")
    get = plan_response(Request("GET", "/", unranged), located, NOW)
    head = plan_response(Request("HEAD", "/", fields), located, NOW)
    assert (head.status, head.fields, head.length, head.parts) == (get.status, get.fields, get.length, ())
