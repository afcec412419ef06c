"""The dashboard in a browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from freight.tools.loadgen.network import HERE
from freight.tools.sample import write_sample
from support.full_log import lose_lines
from support.load_generator import CheckedLoad, Group
from support.servers import Client, Serve, ServerProcess, wait_until

Look = Callable[..., Any]
Watched = Any
Picture = Callable[[Page, str], None]
Sights = Callable[[Page], Iterator[str]]

pytestmark = pytest.mark.needs("chromium")

NAME = "measurements-2026-11.csv"
SIZE = 200_000_000
RUNNING = 20
NO_TIMEOUTS = ("--queue-timeout", "1h", "--idle-timeout", "10m", "--min-rate", "none")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    write_sample(folder / NAME, SIZE)
    return folder


@pytest.fixture
def busy(root: Path, serve: Serve) -> Iterator[tuple[ServerProcess, CheckedLoad]]:
    """Start a server with 20 running downloads, 5 of them stalled, a waiting request, and a rejected one."""
    options = ("--memory", "20MB", "--max-per-client", str(RUNNING), "--queue-size", "1")
    server = serve(root, *options, *NO_TIMEOUTS, admin=True)
    with CheckedLoad(HERE, server.host, server.port, root) as load:
        load.join(Group(name="paced", count=RUNNING - 5, targets=(f"/{NAME}",), pace=1_500_000))
        load.join(Group(name="stalled", count=5, targets=(f"/{NAME}",), stall=1000))
        load.wait_count("stalled", "stalled", 5)
        wait_until(lambda: server.gate()["running"] == RUNNING, "all run")
        load.join(Group(name="more", count=2, targets=(f"/{NAME}",)))
        load.wait_count("more", "503", 1)
        wait_until(lambda: server.gate()["waiting"] == 1, "one waits")
        yield server, load


def url(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.admin_port}/"


def progress(page: Page) -> list[float]:
    """Return the progress of each download in the table, in bytes."""
    return page.eval_on_selector_all("#downloads progress", "bars => bars.map(each => each.value)")  # type: ignore[no-any-return]


def fits(page: Page) -> bool:
    """Return whether the page and its tables of downloads and of waiting requests need no horizontal scrolling."""
    tables = page.locator(".cards").evaluate_all(
        "all => all.every(each => each.scrollWidth <= each.parentElement.clientWidth)"
    )
    return bool(tables and page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def drawn(page: Page) -> str:
    """Return the texts written into the charts until two frames have come."""
    return str(
        page.evaluate(
            """() => new Promise((done) => {
                const texts = [];
                const write = CanvasRenderingContext2D.prototype.fillText;
                CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                    texts.push(text);
                    write.call(this, text, ...rest);
                };
                let frames = 2;  // the charts are drawn after the first
                const seen = new MutationObserver(() => {
                    if ((frames -= 1)) return;
                    seen.disconnect();
                    CanvasRenderingContext2D.prototype.fillText = write;
                    done(texts.join("\\n"));
                });
                seen.observe(document.getElementById("about"), {childList: true, characterData: true, subtree: true});
            })"""
        )
    )


def test_running_downloads_appear_and_move_and_a_rejected_one_is_counted(
    busy: tuple[ServerProcess, CheckedLoad], look: Look
) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#running")).to_have_text(str(RUNNING))
    expect(page.locator("#waiting")).to_have_text("1")
    expect(page.locator("#ended tr[data-name=refused] td").first).to_have_text("1")
    expect(page.locator("#downloads .target").first).to_have_text(f"/{NAME}")
    before = progress(page)
    wait_until(lambda: sum(progress(page)) > sum(before), "progress moves")
    expect(page.locator("#downloads .mark[data-state=stalled]")).to_have_count(5)
    expect(page.locator("#downloads .mark[data-state=sending]")).to_have_count(RUNNING - 5)
    expect(page).to_have_title("freight served: 20 running")


def test_the_page_identifies_its_server(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, "--workers", "2", "--memory", "64MiB", admin=True)
    page = look(url(server)).page
    expect(page.get_by_role("heading", level=1)).to_have_text("served")
    about = f"127.0.0.1:{server.port} \u00b7 pid {server.pid} \u00b7 64MiB \u00b7 2 workers \u00b7 freight "
    expect(page.locator("#about")).to_contain_text(about)
    expect(page.locator("#memory-more")).to_contain_text("of 64MiB")
    expect(page).to_have_title("freight served: 0 running")


def test_a_waiting_request_is_listed_with_its_place_and_the_reason(
    busy: tuple[ServerProcess, CheckedLoad], look: Look
) -> None:
    server, _ = busy
    page = look(url(server)).page
    table = page.get_by_role("table", name="Waiting requests")
    cells = table.get_by_role("row").nth(1).get_by_role("cell")
    expect(cells).to_have_text(["1", "127.0.0.1", f"/{NAME}", re.compile(r"\d\ss"), "client limit"])
    expect(page.locator("#reasons")).to_have_text(
        "1 client limit: Its client runs as many downloads as --max-per-client allows."
    )
    expect(page.locator("#waiting-more")).to_have_text(re.compile("the oldest for .*: 1 client limit"))
    expect(page.locator("#ended tr[data-name=refused] td").last).to_contain_text("By reason: 1 client limit.")


@pytest.fixture
def loaded(root: Path, serve: Serve) -> Iterator[ServerProcess]:
    """Start a server with about 50 downloads of 7 clients, some of them stalled, and about 20 waiting requests."""
    server = serve(root, "--memory", "2MB", "--max-per-client", "8", "--queue-size", "100", *NO_TIMEOUTS, admin=True)
    others = tuple(f"127.0.0.{number}" for number in range(2, 7))
    with CheckedLoad(HERE, server.host, server.port, root) as load:
        load.join(Group(name="paced", count=40, targets=(f"/{NAME}",), pace=400_000, sources=others))
        wait_until(lambda: server.gate()["running"] == 40, "forty run")
        load.join(Group(name="own", count=12, targets=(f"/{NAME}",), sources=others[:2]))
        wait_until(lambda: server.gate()["waiting"] == 12, "their clients run as many as they may")
        stalled = ("127.0.0.8", "127.0.0.9")
        load.join(Group(name="stalled", count=16, targets=(f"/{NAME}",), stall=1000, sources=stalled))
        load.join(Group(name="new", count=3, targets=(f"/{NAME}",), sources=("127.0.0.10",)))
        wait_until(
            lambda: server.gate()["waiting"] >= 15, "more wait"
        )  # others are not accepted, because the memory is small
        yield server


def pages(look: Look, server: ServerProcess) -> Iterator[tuple[str, Watched]]:
    """Open the dashboard on a wide screen in light colours, and on a phone in dark ones."""
    for dark, size in ((False, "wide"), (True, "narrow")):
        yield f"{'dark' if dark else 'light'}-{size}", look(url(server), dark=dark, size=size)


def test_a_loaded_server_is_shown_in_light_and_dark_wide_and_narrow(
    loaded: ServerProcess, look: Look, picture: Picture, sights: Sights
) -> None:
    page = look(url(loaded)).page
    for name in sights(page):
        wait_until(
            lambda: page.locator("#waiters tbody tr").count() == loaded.gate()["waiting"], "all that wait are listed"
        )
        expect(page.locator("#downloads .mark[data-state=stalled]").first).to_be_visible()
        expect(page.locator("#rate-text")).to_have_text(re.compile("B/s, peak "))
        assert fits(page)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 248, 250)"
        assert light is name.startswith("light")
        picture(page, f"dashboard-loaded-{name}")


def test_an_idle_server_has_no_empty_sections(
    root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights
) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    for name in sights(page):
        expect(page.locator("#no-downloads")).to_be_visible()
        expect(page.locator("#running")).to_have_text("0")
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#time-title")).to_have_text(re.compile(r"The last [0-9.]+\ss"))
        for text in ("gate-text", "wait-text", "omitted", "waiting-section", "tools"):
            expect(page.locator(f"#{text}")).to_be_hidden()  # hidden: there is nothing to report
        assert fits(page)
        picture(page, f"dashboard-idle-{name}")


def test_an_overspent_budget_is_shown_in_red(
    root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights, tmp_path: Path
) -> None:
    """After a change to a smaller budget, memory is freed only as clients receive data."""
    settings = tmp_path / "freight.toml"
    settings.write_text('memory = "20MB"\n')
    server = serve(root, "--config", str(settings), admin=True)
    with CheckedLoad(HERE, server.host, server.port, root) as load:
        load.join(Group(name="stalled", count=20, targets=(f"/{NAME}",), stall=1000, receive=4096))
        load.wait_count("stalled", "stalled", 20)
        settings.write_text('memory = "256KiB"\n')
        server.signal(signal.SIGHUP)
        page = look(url(server)).page
        for name in sights(page):
            expect(page.locator("#memory-more")).to_have_text(re.compile("^[1-9][0-9]{2,}% of 256KiB, over budget$"))
            expect(page.locator(".tiles .over")).to_have_count(1)
            assert fits(page)
            picture(page, f"dashboard-over-{name}")


def test_lost_log_lines_are_a_warning(root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights) -> None:
    with open("/dev/full", "wb") as full:
        server = serve(root, log_fd=full.fileno(), admin=True)
        page = look(url(server)).page
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#log-lost")).to_be_hidden()  # no line has been lost yet
        lose_lines(server)
        for name in sights(page):
            lost = re.compile(r"^The log has lost [\d,]+\slines? since the start: ")
            expect(page.locator("#log-lost")).to_have_text(lost)
            assert fits(page)
            picture(page, f"dashboard-log-lost-{name}")


def test_a_paused_page_does_not_change_until_it_is_resumed(
    busy: tuple[ServerProcess, CheckedLoad], look: Look, picture: Picture, sights: Sights
) -> None:
    server, _ = busy
    page = look(url(server)).page
    for name in sights(page):
        expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#state")).to_have_text("Paused")
        expect(page.locator("#pause")).to_have_text("Resume")
        picture(page, f"dashboard-paused-{name}")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#pause")).to_have_text("Pause")


def test_a_page_without_a_server_says_so_and_since_when(
    busy: tuple[ServerProcess, CheckedLoad], look: Look, picture: Picture
) -> None:
    server, _ = busy
    shown = list(pages(look, server))
    for _, watched in shown:
        expect(watched.page.locator("#downloads tbody tr")).to_have_count(RUNNING)
        expect(watched.page.get_by_role("alert")).to_be_hidden()
        watched.breaks = True
    server.close()
    for name, watched in shown:
        banner = watched.page.get_by_role("alert")
        expect(banner).to_have_text(re.compile(r"^No answer since \d\d:\d\d:\d\d\. The figures are from then\.$"))
        expect(watched.page.locator("#running")).to_have_text(str(RUNNING))
        assert fits(watched.page)
        picture(watched.page, f"dashboard-gone-{name}")


def order(page: Page, column: str) -> list[str]:
    """Return a column of the running downloads, from top to bottom."""
    return page.locator(f"#downloads tbody .{column}").all_inner_texts()


def test_downloads_are_sorted_by_a_click_on_a_column(loaded: ServerProcess, look: Look) -> None:
    page = look(url(loaded)).page
    expect(page.locator("#downloads tbody tr").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()  # so that the order stays
    began = order(page, "client")
    head = page.locator("#downloads").get_by_role("columnheader", name="Client")
    for way, expected in (
        ("ascending", sorted(began, key=lambda each: int(each.rpartition(".")[2]))),
        ("descending", sorted(began, key=lambda each: -int(each.rpartition(".")[2]))),
        (None, began),
    ):
        head.get_by_role("button").click()
        if way is None:
            expect(head).not_to_have_attribute("aria-sort", re.compile(""))
        else:
            expect(head).to_have_attribute("aria-sort", way)
        assert order(page, "client") == expected


def test_downloads_can_be_filtered_grouped_and_shown_stalled_first(loaded: ServerProcess, look: Look) -> None:
    page = look(url(loaded)).page
    expect(page.locator("#downloads .mark[data-state=stalled]").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    assert order(page, "state")[0] == "sending"
    page.get_by_role("button", name="Stalled first").click()
    states = ["stalled" in each for each in order(page, "state")]
    assert states[0] and states == sorted(states, reverse=True)
    page.get_by_role("button", name="Group by client").click()
    groups = page.locator("#downloads .group")
    clients = [each.split()[0] for each in groups.all_inner_texts()]
    assert len(clients) == len(set(clients)) and set(clients) == set(order(page, "client"))
    expect(groups.filter(has_text="127.0.0.2 ")).to_contain_text("8 running, 6 waiting, ")
    groups.get_by_role("button", name="127.0.0.3", exact=True).click()
    assert set(order(page, "client")) == {"127.0.0.3"}
    expect(page.locator("#omitted")).to_contain_text("8 downloads match.")
    page.get_by_role("searchbox").fill(NAME[:4])
    assert len(set(order(page, "client"))) > 1


def test_on_a_phone_without_column_heads_the_order_is_chosen_from_a_list(loaded: ServerProcess, look: Look) -> None:
    page = look(url(loaded), size="narrow").page
    expect(page.locator("#downloads tbody tr").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Sort by").select_option("client")
    clients = order(page, "client")
    assert clients == sorted(clients, key=ip_address)  # as numbers: 127.0.0.2 before 127.0.0.10


def test_every_column_has_an_explanation(busy: tuple[ServerProcess, CheckedLoad], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    heads = page.locator("#downloads thead th")
    expect(heads).to_have_count(7)
    assert all(heads.nth(at).get_attribute("title") for at in range(7))


def test_the_page_marks_a_restart_and_takes_the_scale_of_the_new_server(
    root: Path, serve: Serve, look: Look, picture: Picture
) -> None:
    server = serve(root, "--memory", "64MiB", admin=True)
    at = server.admin_port
    shown = list(pages(look, server))
    server.get(f"/{NAME}")
    for _, watched in shown:
        expect(watched.page.locator("#rate-text")).to_have_text(re.compile(", peak .*B/s"))
        watched.page.evaluate("window.same = true")
        watched.breaks = True
    server.signal()
    assert server.wait() == 0
    for _, watched in shown:
        expect(watched.page.locator("#state")).to_have_text("No answer, trying again")
    serve(root, "--memory", "2MB", "--admin", f"127.0.0.1:{at}")
    for name, watched in shown:
        page = watched.page
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#memory-more")).to_have_text(re.compile("of 2MB$"))
        expect(
            page.locator("#rate-text")
        ).to_be_hidden()  # the new server has sent nothing, and the old peak does not count
        wait_until(
            lambda page=page: "restarted" in drawn(page), "the restart is marked, so the earlier samples are kept"
        )
        assert page.evaluate("window.same") is True  # the page was not loaded again
        picture(page, f"dashboard-restarted-{name}")


def test_a_hidden_page_closes_its_stream_and_catches_up_when_shown(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    hidden = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); "
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate(hidden % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate(hidden % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.evaluate("1") == 1 and len(requests) == 1, "it reconnects")
    assert "/events?after=" in requests[0]
    expect(page.locator("#state")).to_have_text("Live")


def test_a_refused_page_says_so_and_connects_when_a_stream_is_free(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    with ExitStack() as stack:
        others = [stack.enter_context(Client("127.0.0.1", server.admin_port, named="localhost")) for _ in range(64)]
        for other in others:
            other.get("/events")
            assert other.read_head()[0] == 200
        watched = look(url(server))
        expect(watched.page.locator("#state")).to_have_text("Refused, trying again")
        watched.wait_for_errors("a status of 503")
        others[0].socket.close()
        expect(watched.page.locator("#state")).to_have_text("Live")


def test_the_page_can_be_used_by_keyboard(busy: tuple[ServerProcess, CheckedLoad], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
    page.keyboard.press("Tab")
    expect(page.locator("#pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#pause")).to_have_text("Resume")
    expect(page.locator("#state")).to_have_text("Paused")
    paused = progress(page)
    page.keyboard.press("Tab")
    expect(page.locator("#hide-budget")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#hide-budget")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#as-table tbody tr").first).to_be_visible()
    assert progress(page) == paused  # nothing changed in the seconds since
    page.locator("#pause").press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    wait_until(lambda: progress(page) != paused, "progress continues")


def test_a_screen_reader_has_landmarks_names_and_text_for_the_charts(
    busy: tuple[ServerProcess, CheckedLoad], look: Look
) -> None:
    server, _ = busy
    for size in ("wide", "narrow"):
        page = look(url(server), size=size).page
        for role in ("banner", "main", "contentinfo", "status"):
            expect(page.get_by_role(role)).to_have_count(1)  # type: ignore[arg-type]
        table = page.get_by_role("table", name="Running downloads")
        expect(table.get_by_role("row")).to_have_count(RUNNING + 1)
        expect(table.get_by_role("columnheader")).to_have_count(7)
        expect(table.get_by_role("progressbar", name=f"/{NAME} for 127.0.0.1")).to_have_count(RUNNING)
        for name in ("Memory against the budget", "Throughput", "Running and waiting", "Oldest wait"):
            chart = page.get_by_role("img", name=name)
            described = chart.get_attribute("aria-describedby")
            expect(page.locator(f"#{described}")).to_contain_text("peak")


def test_a_target_is_shown_as_text_only(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    target = f"/{NAME}?<img/src=x/onerror=alert(1)>"
    with server.connect(receive_bytes=4096) as client:
        client.get(target)
        client.read_head()
        expect(page.locator("#downloads .target").first).to_have_text(target)
    assert page.locator("#downloads img").count() == 0


def test_the_live_region_speaks_only_when_the_state_changes(
    busy: tuple[ServerProcess, CheckedLoad], look: Look
) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    page.evaluate(
        "window.changes = 0; new MutationObserver(() => { window.changes += 1; })"
        ".observe(document.querySelector('[role=status]'), {childList: true, characterData: true, subtree: true})"
    )
    before = progress(page)
    wait_until(lambda: progress(page) != before, "frames have come")
    assert page.evaluate("window.changes") == 0
    assert page.locator("[aria-live]").count() == 0
