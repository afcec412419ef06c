"""The file server's own pages in a browser: the listing, and the error pages."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from freight.tools.sample import verify, write_sample
from support.servers import Serve, ServerProcess, wait_until

Look = Callable[..., Any]
Picture = Callable[..., None]

pytestmark = pytest.mark.needs("chromium")

SIZE = 64_000_000
MODIFIED = 1_795_934_000  # 2026-11-29 06:33:20 UTC
WINDOWS = {"wide": (1280, 900), "phone": (390, 844), "narrow": (360, 780)}
PHONE = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def put(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, (MODIFIED, MODIFIED))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    (folder / "models").mkdir(parents=True)
    for name in ("readme.txt", "a much longer name, with spaces & signs <2026>.bin", "übung.csv"):
        put(folder / name, 2_345_678)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory whose listing has three pages."""
    folder = tmp_path_factory.mktemp("served") / "many"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(1, 2501):
        os.close(os.open(f"file{number}.csv", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    return folder


def names(page: Page) -> list[str]:
    """Return the visible names."""
    shown: list[str] = page.evaluate(
        """[...document.querySelectorAll("tbody tr:not(.parent) bdi")]
           .filter((name) => name.checkVisibility()).map((name) => name.textContent)"""
    )
    return shown


def at(server: ServerProcess, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def take(page: Page, picture: Picture, name: str, sizes: tuple[str, ...] = ("wide", "phone")) -> None:
    """Save screenshots of a page, light and dark, in each size. It must not need horizontal scrolling."""
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for size in sizes:
            width, height = WINDOWS[size]
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            colours.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
            picture(page, f"{name}-{scheme}-{size}")
    assert len(colours) == 2


def test_a_listing_fits_in_light_and_dark_wide_and_narrow(
    root: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(root)
    for script in (True, False):
        page = look(at(server), java_script_enabled=script).page
        assert page.title() == (f"served \u2013 127.0.0.1:{server.port}" if script else "served")
        take(page, picture, "listing" if script else "listing-no-script", ("wide", "phone", "narrow"))
        expect(page.get_by_role("row")).to_have_count(5)  # also where the layout is no table


def test_all_kinds_of_names_fit(tmp_path: Path, serve: Serve, look: Look, picture: Picture) -> None:
    folder = tmp_path / "all kinds"
    nested = folder / "models" / "llama 3" / "x" / "v2"
    nested.mkdir(parents=True)
    (folder / "empty").mkdir()
    several = ["huge.csv", "README.md", "photo.jpg", "film.mp4", "song.flac", "backup.tar.zst", "paper.pdf"]
    several += ["file10", "file2", "zero"]
    long = ["x" * 246 + ".bin", "word " * 49 + ".txt"]
    foreign = ["مرحبا بالعالم.txt", "שלום.pdf", "日本語の名前.csv", "<b>&amp;\u202e.png"]
    for size, name in enumerate(foreign + several + long):
        put(folder / name, 10 ** min(size, 12))
    put(nested / "model-00001-of-00002.safetensors", 4_900_000_000)
    server = serve(folder)
    page = look(at(server), **PHONE).page
    for path, name in (("/models/llama%203/x/v2/", "nested"), ("/empty/", "empty"), ("/", "kinds")):
        page.goto(at(server, path))
        expect(page.locator("h1")).to_contain_text("all kinds")
        take(page, picture, name)
    heights = page.evaluate("[...document.querySelectorAll('tbody bdi')].map((name) => name.offsetHeight)")
    assert max(heights) <= 3 * min(heights), "a name has three lines at most"
    expect(page.get_by_role("link", name=long[0])).to_have_attribute("title", long[0])
    links = page.locator("tbody tr:not(.parent) a").evaluate_all("all => all.map(a => a.className)")
    kinds = dict(zip(names(page), links, strict=True))
    assert {name: kinds[name] for name in several} == {
        **{"huge.csv": "table", "README.md": "text", "photo.jpg": "image", "film.mp4": "video", "song.flac": "audio"},
        **{"backup.tar.zst": "archive", "paper.pdf": "text", "file10": "", "file2": "", "zero": ""},
    }


def test_rows_scroll_below_the_head_of_the_table(many: Path, serve: Serve, look: Look, picture: Picture) -> None:
    server = serve(many)
    for size in ("wide", "phone"):
        page = look(at(server), size=size).page
        page.evaluate("scrollTo(0, 1003)")
        above = """Array.from({length: 24}, (_, y) => document.elementFromPoint(
            document.querySelector("tbody a").getBoundingClientRect().left + 5, y + 4).closest("thead") !== null)"""
        page.wait_for_function("scrollY === 1003")
        assert page.evaluate(above) == [True] * 24
        picture(page, f"scrolled-light-{size}", whole=False)


def test_a_listing_can_be_used_by_keyboard(root: Path, serve: Serve, look: Look) -> None:
    page = look(at(serve(root))).page
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Filter by name")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Size")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="readme.txt").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy link to readme.txt")).to_be_focused()
    expect(page.get_by_role("button", name="Copy link to readme.txt")).to_have_css("opacity", "1")
    page.keyboard.press("Tab")
    commands = page.get_by_role("button", name="Commands for readme.txt")
    expect(commands).to_be_focused()
    page.keyboard.press("Enter")
    expect(commands).to_have_attribute("aria-expanded", "true")
    expect(page.locator("code")).to_have_count(3)
    page.keyboard.press("Enter")
    expect(page.locator("code")).to_have_count(0)
    page.get_by_role("link", name="models").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Parent directory")).to_be_visible()


def test_a_filter_answers_at_once_and_enter_goes_to_the_first(root: Path, serve: Serve, look: Look) -> None:
    page = look(at(serve(root))).page
    box, status = page.get_by_role("searchbox"), page.get_by_role("status")
    expect(status).to_be_empty()
    box.press_sequentially("ÜB")
    expect(status).to_have_text("1 of 4.")
    assert names(page) == ["übung.csv"]
    box.press("Enter")
    expect(page.get_by_role("link", name="übung.csv")).to_be_focused()
    box.fill("nothing like it")
    expect(status).to_have_text("None of 4.")
    box.press("Escape")
    expect(status).to_be_empty()
    assert len(names(page)) == 4
    assert "?" not in page.url


def test_pages_of_a_large_directory(many: Path, serve: Serve, look: Look, picture: Picture) -> None:
    server = serve(many)
    page = look(at(server)).page  # by CSS: finding roles among many rows is slow
    assert names(page)[:11] == [f"file{number}.csv" for number in range(1, 12)]
    assert page.locator(".counts").inner_text() == "2,500 files. This page has 1\u20131,000. Other pages"
    picture(page, "many-light-wide", whole=False)
    page.locator("nav a", has_text="Last").click()
    expect(page.locator("nav")).to_contain_text("1,501\u20132,500 of 2,500")
    assert (names(page)[0], names(page)[-1]) == ("file1501.csv", "file2500.csv")
    page.locator(".counts a", has_text="Other pages").click()
    expect(page.locator("nav")).to_be_in_viewport()
    picture(page, "last-page-light-wide", whole=False)
    page.locator("nav a", has_text="Previous").click()
    expect(page.locator("nav")).to_contain_text("501\u20131,500")
    page.locator("nav a", has_text="Next").click()
    expect(page.locator("nav")).to_contain_text("1,501\u20132,500")
    expect(page.locator("nav a", has_text="First")).to_have_attribute("href", "./")


def test_a_filter_says_that_there_are_more_pages_and_enter_searches_them(
    many: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(many)
    page = look(at(server, "/?sort=date&order=desc")).page
    box, status = page.locator("input[type=search]"), page.locator("[role=status]")
    box.fill("77.csv")
    expect(status).to_contain_text("of 1,000 on this page. Press Enter to filter all 2,500 names.")
    picture(page, "filter-light-wide", whole=False)
    box.press("Enter")
    expect(page.locator(".counts")).to_contain_text("25 files, 0 B with “77.csv” in the name.")
    expect(page.locator("thead th", has_text="Modified")).to_have_attribute("aria-sort", "descending")
    assert len(names(page)) == 25
    picture(page, "filtered-light-wide", whole=False)
    box.fill("2477.csv")
    expect(status).to_have_text("1 of 25.")
    box.fill("8.csv")
    expect(status).to_contain_text("Press Enter to filter all names.")
    box.fill("")
    expect(page.locator(".counts")).to_contain_text("2,500 files.")
    page.go_back()
    page.locator(".counts a", has_text="Show all").click()
    expect(page.locator(".counts")).to_contain_text("2,500 files.")


def test_without_a_script_the_server_filters_and_times_are_utc(
    root: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(root)
    page = look(at(server), timezone_id="America/New_York", java_script_enabled=False).page
    expect(page.get_by_role("columnheader", name="Modified (UTC)")).to_be_visible()
    expect(page.get_by_role("row", name="readme.txt")).to_contain_text("2026-11-29 06:33")
    expect(page.locator("tbody").get_by_role("button")).to_have_count(0)  # those that copy need a script
    page.get_by_role("searchbox").fill("Übung")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("link", name="übung.csv")).to_be_visible()
    expect(page.get_by_role("link", name="readme.txt")).to_have_count(0)
    picture(page, "filtered-no-script-light-wide")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_role("link", name="readme.txt")).to_be_visible()


def test_times_are_local_and_show_utc_when_pointed_at(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root)
    for size, shown in (("wide", "2026-11-29 01:33"), ("phone", "29 Nov")):
        page = look(at(server), size=size, timezone_id="America/New_York").page
        row = page.get_by_role("row", name="readme.txt")
        row.hover()
        time = row.locator("time")
        assert time.inner_text().startswith(shown)
        assert str(time.get_attribute("title")).startswith("2026-11-29 06:33:20 UTC, ")
        assert "UTC" not in page.get_by_role("columnheader").all_inner_texts()[2]


@pytest.mark.parametrize("clipboard", [True, False], ids=["clipboard", "selection"])
def test_a_link_is_copied_by_its_button(root: Path, serve: Serve, look: Look, clipboard: bool) -> None:
    """Without a clipboard, as without HTTPS, a selection is copied."""
    server = serve(root)
    page = look(at(server), permissions=["clipboard-read", "clipboard-write"]).page
    if not clipboard:
        page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', {value: undefined})")
        page.reload()
    page.evaluate(
        """window.messages = [];
        new MutationObserver(() => messages.push(document.querySelector("#found").textContent)).observe(
            document.querySelector("#found"), {childList: true})"""
    )
    page.get_by_role("row", name="übung.csv").hover()
    page.get_by_role("button", name="Copy link to übung.csv").click()
    page.wait_for_function("messages.includes('Copied.')")
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_role("searchbox")).to_have_value(at(server, "/%C3%BCbung.csv"))


@pytest.mark.needs("wget", "curl")
def test_the_commands_download_the_file(tmp_path: Path, serve: Serve, look: Look, picture: Picture) -> None:
    folder = tmp_path / "d i r"
    folder.mkdir()
    odd = "it's $HOME & <more>; `x` (1)*!.csv"
    several = ("plain.csv", "two words.csv", odd, "über 100%.csv", "-o", "a+b=c,d@e.csv")
    for name in several:
        (folder / name).write_bytes(name.encode() * 1000)
    page = look(at(serve(tmp_path), "/d%20i%20r/"), permissions=["clipboard-read", "clipboard-write"]).page
    for number, name in enumerate(several):
        page.get_by_role("link", name=name, exact=True).focus()
        page.get_by_role("button", name=f"Commands for {name}", exact=True).press("Enter")
        row = page.locator("tr", has=page.get_by_role("button", name=f"Commands for {name}", exact=True))
        shown = row.locator("+ tr code")
        expect(shown).to_have_count(3)
        _, by_wget, by_curl = shown.all_inner_texts()
        assert by_wget.startswith("wget -c http://127.0.0.1:") and by_curl.startswith("curl -f -C - -")
        for command in (by_wget, by_curl):
            here = tmp_path / f"{number}-{command.split()[0]}"
            here.mkdir()
            subprocess.run(["sh", "-c", command], cwd=here, check=True, timeout=60, capture_output=True)
            (copy,) = here.iterdir()
            assert copy.read_bytes() == name.encode() * 1000
            if command is by_wget or name != odd:  # quoted, this name would be expanded by a shell
                assert copy.name == name
    take(page, picture, "commands")
    page.get_by_role("button", name="Copy", exact=True).last.click()
    page.wait_for_function("text => navigator.clipboard.readText().then((copied) => copied === text)", arg=by_curl)


ERRORS = [
    ("404", "/nothing/here.csv", {}, None, "There is no such file or directory on this server."),
    ("400", "/%zz", {}, None, "The address is malformed"),
    ("405", "/readme.txt", {}, "POST", "This server only serves files"),
    ("501", "/readme.txt", {}, "BREW", "Unknown method"),
    (
        "412",
        "/readme.txt",
        {"If-Match": '"old"'},
        None,
        "The file is not the version that this request requires.",
    ),
    ("416", "/readme.txt", {"Range": "bytes=9000000-"}, None, "the file, which has 2,345,678 bytes (2.35 MB)"),
    ("431", "/readme.txt", {"X-Large": "x" * 40_000}, None, "too large."),
]


def test_an_error_page_has_a_link_to_all_files(root: Path, serve: Serve, look: Look, picture: Picture) -> None:
    server = serve(root)
    watched = look(at(server))
    page = watched.page
    for status, path, fields, method, words in ERRORS:

        def ask(
            route: Route, *, method: str | None = method, fields: dict[str, str] = fields, path: str = path
        ) -> None:
            if path in route.request.url:
                route.continue_(method=method or route.request.method, headers=route.request.headers | fields)
            else:
                route.continue_()

        page.route("**", ask)
        page.goto(at(server, path))
        expect(page.get_by_role("heading")).to_contain_text(status)
        expect(page.locator("body")).to_contain_text(words)
        take(page, picture, f"error-{status}")
        expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("^data:"))  # no request is needed
        page.unroute("**")
        if status != "431":  # the target of that request is unknown
            page.get_by_role("link", name="All files").click()
            expect(page.get_by_role("heading")).to_have_text("served")
    watched.wait_for_errors(*(f"the server responded with a status of {status}" for status, *_ in ERRORS))


def test_a_wrong_name_on_a_server_of_one_file_has_a_link_to_it(
    root: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(root / "übung.csv")
    watched = look(at(server, "/wrong/name"), downloads=True)
    watched.wait_for_errors("a status of 404")
    page = watched.page
    expect(page.locator("body")).to_contain_text("This server serves one file: übung.csv")
    take(page, picture, "error-404-one-file")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download übung.csv").click()
    assert started.value.suggested_filename == "übung.csv"


def test_a_refused_browser_waits_on_a_page_and_then_downloads_the_file(
    tmp_path: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    write_sample(tmp_path / "huge.csv", SIZE)
    server = serve(tmp_path / "huge.csv", "--max-per-client", "1", "--queue-size", "0", admin=True)
    with server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.read_head()
        wait_until(lambda: server.gate()["running"] == 1, "the only slot is in use")
        watched = look(at(server, "/huge.csv"), dark=True, size="narrow", downloads=True)
        watched.wait_for_errors("a status of 503")
        page = watched.page
        expect(page.get_by_role("heading")).to_have_text("503 Service Unavailable")
        take(page, picture, "waiting", ("narrow",))
        left = page.locator("b")
        before = left.inner_text()
        expect(left).not_to_have_text(before)  # it counts down
        watched.breaks = True  # it retries by itself, and is refused again
        with page.expect_download(timeout=60_000) as started:
            client.reset()  # frees the slot; the page must retry by itself
        copy = tmp_path / "copy.csv"
        started.value.save_as(copy)
    assert copy.stat().st_size == SIZE
    assert verify(copy.read_bytes(), 0)
