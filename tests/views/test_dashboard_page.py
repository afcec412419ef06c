"""The dashboard in a browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from crowds import Crowd, Group
from freight.sample import write_sample
from netns import HERE
from serving import Client, Served, until

Serve = Callable[..., Served]
Look = Callable[..., Any]
Watched = Any
Picture = Callable[[Page, str], None]
Sights = Callable[[Page], Iterator[str]]

pytestmark = pytest.mark.needs("chromium")

NAME = "measurements-2026-11.csv"
SIZE = 200_000_000
RUNNING = 20
PATIENT = ("--max-wait", "1h", "--idle-timeout", "10m", "--min-rate", "none")  # nobody is sent away meanwhile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    write_sample(folder / NAME, SIZE)
    return folder


@pytest.fixture
def busy(root: Path, serve: Serve) -> Iterator[tuple[Served, Crowd]]:
    """A server with twenty downloads, of which five stand still, one that waits, and one that was refused."""
    options = ("--memory", "20MB", "--per-client", str(RUNNING), "--queue", "1")
    server = serve(root, *options, *PATIENT, admin=True)
    with Crowd(HERE, server.host, server.port, root) as crowd:
        crowd.join(Group(name="paced", count=RUNNING - 5, targets=(f"/{NAME}",), pace=1_500_000))
        crowd.join(Group(name="still", count=5, targets=(f"/{NAME}",), stall=1000))
        crowd.wait_count("still", "stalled", 5)
        until(lambda: server.gate()["running"] == RUNNING, "all run")
        crowd.join(Group(name="more", count=2, targets=(f"/{NAME}",)))
        crowd.wait_count("more", "503", 1)
        until(lambda: server.gate()["waiting"] == 1, "one waits")
        yield server, crowd


def url(server: Served) -> str:
    return f"http://127.0.0.1:{server.admin_port}/"


def progress(page: Page) -> list[float]:
    """How far each download in the table has come, in bytes."""
    return page.eval_on_selector_all("#downloads progress", "bars => bars.map(each => each.value)")  # type: ignore[no-any-return]


def fits(page: Page) -> bool:
    """Whether neither the page nor the tables of downloads and of waiting requests need be scrolled sideways."""
    tables = page.locator(".cards").evaluate_all(
        "all => all.every(each => each.scrollWidth <= each.parentElement.clientWidth)"
    )
    return bool(tables and page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def drawn(page: Page) -> str:
    """What is written into the charts from now on, until two frames have come."""
    return str(
        page.evaluate(
            """() => new Promise((done) => {
                const said = [];
                const write = CanvasRenderingContext2D.prototype.fillText;
                CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                    said.push(text);
                    write.call(this, text, ...rest);
                };
                let frames = 2;  // the charts are drawn behind the first
                const seen = new MutationObserver(() => {
                    if ((frames -= 1)) return;
                    seen.disconnect();
                    CanvasRenderingContext2D.prototype.fillText = write;
                    done(said.join("\\n"));
                });
                seen.observe(document.getElementById("about"), {childList: true, characterData: true, subtree: true});
            })"""
        )
    )


def test_running_downloads_appear_and_move_and_a_refused_one_is_counted(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#downloads tbody tr")).to_have_count(RUNNING)
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#running")).to_have_text(str(RUNNING))
    expect(page.locator("#waiting")).to_have_text("1")
    expect(page.locator("#ended tr[data-name=refused] td").first).to_have_text("1")
    expect(page.locator("#downloads .target").first).to_have_text(f"/{NAME}")
    before = progress(page)
    until(lambda: sum(progress(page)) > sum(before), "progress moves")
    expect(page.locator("#downloads .mark[data-state=still]")).to_have_count(5)
    expect(page.locator("#downloads .mark[data-state=sending]")).to_have_count(RUNNING - 5)
    expect(page).to_have_title("freight served: 20 running")


def test_the_page_says_which_server_it_is(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, "--workers", "2", "--memory", "64MiB", admin=True)
    page = look(url(server)).page
    expect(page.get_by_role("heading", level=1)).to_have_text("served")
    said = f"127.0.0.1:{server.port} \u00b7 pid {server.pid} \u00b7 64MiB \u00b7 2 workers \u00b7 freight "
    expect(page.locator("#about")).to_contain_text(said)
    expect(page.locator("#memory-more")).to_contain_text("of 64MiB")
    expect(page).to_have_title("freight served: 0 running")


def test_what_waits_is_listed_with_its_place_and_the_reason(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    table = page.get_by_role("table", name="Waiting requests")
    cells = table.get_by_role("row").nth(1).get_by_role("cell")
    expect(cells).to_have_text(["1", "127.0.0.1", f"/{NAME}", re.compile(r"\d\ss"), "client limit"])
    expect(page.locator("#reasons")).to_have_text(
        "1 client limit: Its client runs as many downloads as --per-client allows."
    )
    expect(page.locator("#waiting-more")).to_have_text(re.compile("the oldest for .*: 1 client limit"))
    expect(page.locator("#ended tr[data-name=refused] td").last).to_contain_text("By reason: 1 client limit.")


@pytest.fixture
def loaded(root: Path, serve: Serve) -> Iterator[Served]:
    """A server with some fifty downloads of seven clients, several of which stand still, and twenty that wait."""
    server = serve(root, "--memory", "2MB", "--per-client", "8", "--queue", "100", *PATIENT, admin=True)
    others = tuple(f"127.0.0.{number}" for number in range(2, 7))
    with Crowd(HERE, server.host, server.port, root) as crowd:
        crowd.join(Group(name="paced", count=40, targets=(f"/{NAME}",), pace=400_000, sources=others))
        until(lambda: server.gate()["running"] == 40, "forty run")
        crowd.join(Group(name="own", count=12, targets=(f"/{NAME}",), sources=others[:2]))
        until(lambda: server.gate()["waiting"] == 12, "their clients run as many as they may")
        still = ("127.0.0.8", "127.0.0.9")
        crowd.join(Group(name="still", count=16, targets=(f"/{NAME}",), stall=1000, sources=still))
        crowd.join(Group(name="new", count=3, targets=(f"/{NAME}",), sources=("127.0.0.10",)))
        until(lambda: server.gate()["waiting"] >= 15, "more wait")  # some stand outside, as the memory is small
        yield server


def pages(look: Look, server: Served) -> Iterator[tuple[str, Watched]]:
    """The dashboard on a wide screen in light colours, and on a phone in dark ones."""
    for dark, size in ((False, "wide"), (True, "narrow")):
        yield f"{'dark' if dark else 'light'}-{size}", look(url(server), dark=dark, size=size)


def test_a_loaded_server_can_be_looked_at_in_light_and_dark_wide_and_narrow(
    loaded: Served, look: Look, picture: Picture, sights: Sights
) -> None:
    page = look(url(loaded)).page
    for name in sights(page):
        until(lambda: page.locator("#waiters tbody tr").count() == loaded.gate()["waiting"], "all that wait are listed")
        expect(page.locator("#downloads .mark[data-state=still]").first).to_be_visible()
        expect(page.locator("#rate-text")).to_have_text(re.compile("B/s, peak "))
        assert fits(page)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 248, 250)"
        assert light is name.startswith("light")
        picture(page, f"dashboard-loaded-{name}")


def test_an_idle_server_is_shown_as_one(root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    for name in sights(page):
        expect(page.locator("#nobody")).to_be_visible()
        expect(page.locator("#running")).to_have_text("0")
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#time-title")).to_have_text(re.compile(r"The last [0-9.]+\ss"))
        for text in ("gate-text", "wait-text", "omitted", "waiting-section", "tools"):
            expect(page.locator(f"#{text}")).to_be_hidden()  # nothing is said of what has not been
        assert fits(page)
        picture(page, f"dashboard-idle-{name}")


def test_a_budget_that_is_overspent_is_said_to_be_in_red(
    root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights, tmp_path: Path
) -> None:
    """As after a change to a smaller one: what is spent comes back only when clients take it."""
    settings = tmp_path / "freight.toml"
    settings.write_text('memory = "20MB"\n')
    server = serve(root, "--config", str(settings), admin=True)
    with Crowd(HERE, server.host, server.port, root) as crowd:
        crowd.join(Group(name="still", count=20, targets=(f"/{NAME}",), stall=1000, receive=4096))
        crowd.wait_count("still", "stalled", 20)
        settings.write_text('memory = "256KiB"\n')
        server.signal(signal.SIGHUP)
        page = look(url(server)).page
        for name in sights(page):
            expect(page.locator("#memory-more")).to_have_text(re.compile("^[1-9][0-9]{2,}% of 256KiB, over budget$"))
            expect(page.locator(".tiles .over")).to_have_count(1)
            assert fits(page)
            picture(page, f"dashboard-over-{name}")


def test_lines_that_the_log_has_lost_are_warned_of(
    root: Path, serve: Serve, look: Look, picture: Picture, sights: Sights
) -> None:
    with open("/dev/full", "wb") as full:
        server = serve(root, log_fd=full.fileno(), admin=True)
        page = look(url(server)).page
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#log-lost")).to_be_hidden()  # nothing has been lost yet
        assert server.get(f"/{NAME}", "Range: bytes=0-9").status == 206
        for name in sights(page):
            expect(page.locator("#log-lost")).to_have_text(re.compile(r"^The log has lost 1\sline since the start: "))
            assert fits(page)
            picture(page, f"dashboard-log-lost-{name}")


def test_paused_nothing_moves_and_the_button_resumes(
    busy: tuple[Served, Crowd], look: Look, picture: Picture, sights: Sights
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


def test_a_server_that_is_gone_is_said_to_be_and_since_when(
    busy: tuple[Served, Crowd], look: Look, picture: Picture
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
        expect(banner).to_have_text(re.compile(r"^Not answering since \d\d:\d\d:\d\d; the figures are of then\.$"))
        expect(watched.page.locator("#running")).to_have_text(str(RUNNING))
        assert fits(watched.page)
        picture(watched.page, f"dashboard-gone-{name}")


def order(page: Page, column: str) -> list[str]:
    """A column of the running downloads, from top to bottom."""
    return page.locator(f"#downloads tbody .{column}").all_inner_texts()


def test_downloads_are_sorted_by_a_click_at_a_column(loaded: Served, look: Look) -> None:
    page = look(url(loaded)).page
    expect(page.locator("#downloads tbody tr").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()  # so that they can be compared
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


def test_downloads_can_be_filtered_grouped_and_shown_stalled_first(loaded: Served, look: Look) -> None:
    page = look(url(loaded)).page
    expect(page.locator("#downloads .mark[data-state=still]").first).to_be_visible()
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


def test_on_a_phone_which_shows_no_heads_the_order_is_chosen_from_a_list(loaded: Served, look: Look) -> None:
    page = look(url(loaded), size="narrow").page
    expect(page.locator("#downloads tbody tr").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Sort by").select_option("client")
    clients = order(page, "client")
    assert clients == sorted(clients)


def test_every_column_says_what_it_means(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    heads = page.locator("#downloads thead th")
    expect(heads).to_have_count(7)
    assert all(heads.nth(at).get_attribute("title") for at in range(7))


def test_the_page_survives_a_restart_and_marks_it_and_the_scale_is_the_new_servers(
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
        expect(page.locator("#rate-text")).to_be_hidden()  # this one has sent nothing: no peak of the one before
        until(lambda page=page: "restarted" in drawn(page), "it is marked, so what was before is known still")
        assert page.evaluate("window.same") is True  # and it was not loaded again
        picture(page, f"dashboard-restarted-{name}")


def test_a_page_that_nobody_sees_holds_no_stream_and_catches_up(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    hidden = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); "
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(hidden % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate(hidden % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: page.evaluate("1") == 1 and len(asked) == 1, "it asks again")
    assert "/events?after=" in asked[0]
    expect(page.locator("#state")).to_have_text("Live")


def test_who_is_refused_is_told_so_and_watches_when_there_is_room(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    with ExitStack() as stack:
        others = [stack.enter_context(Client("127.0.0.1", server.admin_port, named="localhost")) for _ in range(64)]
        for other in others:
            other.get("/events")
            assert other.head()[0] == 200
        watched = look(url(server))
        expect(watched.page.locator("#state")).to_have_text("Refused, trying again")
        assert [each for each in watched.wrong if "503" not in each] == []  # the console tells of that, and rightly
        watched.wrong.clear()
        others[0].socket.close()
        expect(watched.page.locator("#state")).to_have_text("Live")
        watched.wrong = [each for each in watched.wrong if "503" not in each]


def test_it_can_be_used_by_keyboard(busy: tuple[Served, Crowd], look: Look) -> None:
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
    expect(page.locator("#closer")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#closer")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#as-table tbody tr").first).to_be_visible()
    assert progress(page) == paused  # a second or two have gone by: nothing moved
    page.locator("#pause").press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    until(lambda: progress(page) != paused, "it goes on")


def test_a_screen_reader_has_landmarks_names_and_text_for_what_is_drawn(busy: tuple[Served, Crowd], look: Look) -> None:
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


def test_what_clients_ask_for_is_text_and_nothing_else(root: Path, serve: Serve, look: Look) -> None:
    server = serve(root, admin=True)
    page = look(url(server)).page
    target = f"/{NAME}?<img/src=x/onerror=alert(1)>"
    with server.connect(receive_bytes=4096) as client:
        client.get(target)
        client.head()
        expect(page.locator("#downloads .target").first).to_have_text(target)
    assert page.locator("#downloads img").count() == 0


def test_the_live_region_speaks_only_when_the_state_changes(busy: tuple[Served, Crowd], look: Look) -> None:
    server, _ = busy
    page = look(url(server)).page
    expect(page.locator("#state")).to_have_text("Live")
    page.evaluate(
        "window.said = 0; new MutationObserver(() => { window.said += 1; })"
        ".observe(document.querySelector('[role=status]'), {childList: true, characterData: true, subtree: true})"
    )
    before = progress(page)
    until(lambda: progress(page) != before, "frames have come")
    assert page.evaluate("window.said") == 0
    assert page.locator("[aria-live]").count() == 0
