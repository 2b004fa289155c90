"""`nrtctl dashboard` over a pipeline at work, in a real Chromium and over plain HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Dialog, Page, expect, sync_playwright

from nrtctl.view.dashboard.app import FILES
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

Scheme = Literal["light", "dark"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Address(str):
    """Of a dashboard; the token comes behind the # of what it prints."""

    token: str

    @classmethod
    def printed(cls, line: str) -> Address:
        address, _, token = line.partition("/#token=")
        made = cls(address)
        made.token = token
        return made

    def opening(self, path: str) -> str:
        return f"{self}{path}#token={self.token}"


@contextlib.contextmanager
def dashboard(project: Project, *arguments: str) -> Iterator[Address]:
    """Runs it; its address."""
    running = project.start("dashboard", "--interval", "1s", *arguments)
    try:
        assert running.stdout
        yield Address.printed(running.stdout.readline().decode().strip())
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=90)
        assert running.returncode == 0, said.decode()
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()


@pytest.fixture(scope="module")
def address(busy: Project) -> Iterator[Address]:
    with dashboard(busy, "--port", "0", "--by", "event_type") as found:
        eventually(lambda: ask(found, "/snapshot.json")[0] == 200, "the first look")
        yield found


@dataclass
class Heard:
    """What a page has said on the console, in errors and dialogs, and what it has asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def of(self, page: Page) -> Heard:
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self.asked.append(request.url))
        return self

    def _dismiss(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture(scope="module")
def tab() -> Iterator[tuple[Page, Heard]]:
    """For all tests: a new one takes a second of CPU until it is drawn."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        yield page, Heard().of(page)
        browser.close()


@pytest.fixture
def page(tab: tuple[Page, Heard]) -> Iterator[Page]:
    """As a new one: empty, without a token, nothing heard."""
    page, heard = tab
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="null", reduced_motion="null")
    yield page
    page.evaluate("try { sessionStorage.clear(); } catch {}")
    page.goto("about:blank")
    for each in (heard.said, heard.asked):
        each.clear()


@pytest.fixture
def heard(page: Page, tab: tuple[Page, Heard]) -> Heard:
    return tab[1]


def ask(
    address: str, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator("#partitions tbody tr")).to_have_count(4, timeout=30_000)
    return page


def test_a_browser_shows_live_numbers_and_asks_nobody_else(
    address: str, page: Page, heard: Heard
) -> None:
    opened(page, address)
    first = page.inner_text("#when")
    expect(page.locator("#when")).not_to_have_text(first, timeout=30_000)
    expect(page.locator("#tiles")).to_contain_text(re.compile("rows stored\\s*[1-9]"))
    assert page.inner_text("#title").startswith("user_events → ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d [A-Z]+([+-]\d+)?", page.inner_text("#when"))
    assert re.search("user_events", page.title())
    for place, text in (("#letters", "wrong type"), ("#consumers", "127.0.0.1"),
                        ("#by", "VIEW_PRODUCT"), ("#inserts", "active parts")):  # fmt: skip
        expect(page.locator(place)).to_contain_text(text, timeout=30_000)
    newest = page.locator("#chart-flow .plot")
    expect(newest).to_have_attribute("aria-valuetext", re.compile(r": in [\d.]+/s"))
    assert heard.said == []
    assert heard.asked
    assert all(each.startswith(address) for each in heard.asked), heard.asked


SIZES = (320, 360, 414, 600, 768, 1024, 1280, 1440, 1680, 1920, 2560)
CLIPPED = """() => [...document.querySelectorAll("main *, header *")].filter(each =>
    each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1
    && !each.closest(".plot, .brief"))
    .map(each => `${each.tagName} ${each.id} ${each.className}: ${each.scrollWidth}`)"""


WITH_MANY_ROWS = """() => [...document.querySelectorAll(".tile b")].map(each => {
    each.textContent = "12,345,678,901";
    return each.scrollWidth > each.clientWidth + 1;
}).filter(Boolean).length"""

IN_BOTH = pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])


@IN_BOTH
def test_nothing_is_clipped_from_a_phone_to_a_wall_in_light_and_dark(
    address: str, page: Page, scheme: Scheme
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    opened(page, address)
    assert len(page.screenshot()) > 20_000
    for width in SIZES:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CLIPPED) == [], width
        assert page.evaluate(WITH_MANY_ROWS) == 0, width
    assert serious(page) == []
    assert brightness(page, "light") > 600
    assert brightness(page, "dark") < 150


def brightness(page: Page, scheme: Scheme) -> int:
    """Of what is behind all: red, green and blue together."""
    page.emulate_media(color_scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def test_a_time_range_comes_from_the_rows_and_all_charts_share_cursor_and_zoom(
    address: str, page: Page, heard: Heard
) -> None:
    opened(page, address)
    flow, lag = page.locator("#chart-flow .plot"), page.locator("#chart-lag .plot")
    page.get_by_role("button", name="5 min", exact=True).click()
    expect(page.locator("#charts-note")).to_contain_text("each 5 s", timeout=30_000)
    expect(flow).to_have_attribute("aria-valuemax", "59")
    assert page.url.endswith("?range=5m")
    flow.focus()
    page.keyboard.press("Home")
    expect(flow).to_have_attribute("aria-valuenow", "0")
    expect(lag).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Shift+ArrowRight")
    expect(lag).to_have_attribute("aria-valuenow", "10")
    expect(page.locator("#chart-flow .tip")).to_be_visible()
    page.keyboard.press("+")
    expect(page.locator("#unzoom")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator("#unzoom")).to_be_hidden()
    place = page.locator("#chart-lag .u-over").bounding_box()
    assert place
    middle = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + 10, middle)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, middle, steps=3)
    page.mouse.up()
    expect(page.locator("#unzoom")).to_be_visible()
    page.mouse.dblclick(place["x"] + 10, middle)
    expect(page.locator("#unzoom")).to_be_hidden()
    page.goto(f"{address}/?range=24h")
    chosen = page.get_by_role("button", name="24 h", exact=True)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#charts-note")).to_contain_text("each 10 min", timeout=30_000)
    assert heard.said == []
    assert all(each.startswith(address) for each in heard.asked), heard.asked


def test_what_is_not_seen_is_shown_as_the_terminal_has_it(address: str, page: Page) -> None:
    page.goto(address)
    text = "a\u202efdp.exe \x1b[31m\u200b \u00a0\u0416\u05d0\u200d\n\t\x00\x9b"
    headings = page.evaluate(
        """async () => {
            const { node, table } = await import("/parts.js"), place = node("div", "");
            table(place, ["<b>n</b>", "a < b<"], [["1", "2"]], "");
            return [...place.querySelectorAll("th")].map((each) => each.textContent);
        }"""
    )
    assert headings == ["<b>n</b>", "a < b"]
    shown = page.evaluate(
        "async (text) => (await import('/parts.js')).node('td', text).textContent", text
    )
    assert shown == "a\\u202efdp.exe \\x1b[31m\\u200b \u00a0\u0416\u05d0\u200d\n\t\\x00\\x9b"


def test_a_clock_that_is_put_back_keeps_no_look_from_the_charts(address: str, page: Page) -> None:
    page.goto(address)
    found = page.evaluate(
        """async () => {
            const { ascending, grown } = await import("/parts.js");
            let course = { time: [1, 2], a: [10, 20] };
            const after = [];
            for (const point of [{ time: 2, a: 21 }, { time: 3, a: 30, b: 1 },
                { time: 1.5, a: 15, b: 2 }, { time: 2.5, a: 25, b: 3 }]) {
                course = grown(course, point, 3);
                after.push(course);
            }
            return [after, ascending({ time: [5, 6, 2, 3], a: [1, 2, 3, 4] }), ascending({})];
        }"""
    )
    assert found == [
        [
            {"time": [1, 2], "a": [10, 20]},
            {"time": [1, 2, 3], "a": [10, 20, 30], "b": [None, None, 1]},
            {"time": [1, 1.5], "a": [10, 15], "b": [None, 2]},
            {"time": [1, 1.5, 2.5], "a": [10, 15, 25], "b": [None, 2, 3]},
        ],
        {"time": [2, 3], "a": [3, 4]},
        {},
    ]


def test_no_reason_is_missing_from_the_live_chart(address: str, page: Page) -> None:
    page.goto(address)
    found = page.evaluate(
        """async () => {
            const { withOthers } = await import("/parts.js");
            const series = { a: [1, 0], b: [null, 9], c: [3, null], d: [null, 2] };
            return [4, 3, 2, 1].map((most) => Object.entries(withOthers(series, most)));
        }"""
    )
    b, c, d, a = ["b", [None, 9]], ["c", [3, None]], ["d", [None, 2]], ["a", [1, 0]]
    assert found == [
        [b, c, d, a],
        [b, c, d, a],
        [b, c, ["other reasons", [1, 2]]],
        [b, ["other reasons", [4, 2]]],
    ]


HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_out_of_sight_takes_none_of_the_browser_s_connections(
    address: str, page: Page, heard: Heard
) -> None:
    """Six open streams of one browser would keep every further page of it from loading."""
    opened(page, address)
    with (
        page.expect_event("requestfailed", lambda each: each.url.endswith("/events")),
        page.expect_response("**/snapshot.json") as asked,
    ):
        page.evaluate(HIDE, True)
    assert asked.value.ok
    with page.expect_request("**/events"):
        page.evaluate(HIDE, False)
    shown = page.inner_text("#when")
    expect(page.locator("#when")).not_to_have_text(shown, timeout=30_000)
    assert heard.said == []


def test_an_axis_has_no_label_twice(address: str, page: Page) -> None:
    page.goto(address)
    found = page.evaluate(
        """async () => {
            const { axis } = await import("/words.js");
            return [axis([0, 1, 2], 1, "count"), axis([0, 0.5, 1], 0.5, "rate"),
                axis([0, 5000, 10000], 5000, "count"), axis([0, 15, 30], 15, "seconds"),
                axis([0, 0.2, 0.4], 0.2, "seconds"), axis([0, 900, 1800], 900, "seconds")];
        }"""
    )
    assert found == [
        ["0", "1", "2"], ["0", "0.5", "1.0"], ["0", "5k", "10k"], ["0", "15 s", "30 s"],
        ["0", "200 ms", "400 ms"], ["0", "15 min", "30 min"],
    ]  # fmt: skip
    small = page.evaluate(
        """async () => {
            const { rate } = await import("/words.js");
            return [0, 0.000001, 0.033, 0.25, 12345.6, null].map(rate);
        }"""
    )
    assert small == ["0/s", "<0.01/s", "0.03/s", "0.3/s", "12,346/s", "–"]
    steady = page.evaluate(
        """async () => {
            const { drained } = await import("/words.js"), said = [];
            const lags = [[0, 0, null], [9, 4, 1], [9, 15, null], [9, 30, 3]];
            for (const [most, state] of [[5, "stalled"], [20, "stalled"], [5, "ok"]]) {
                const shot = { tolerable_lag_seconds: most, verdict: { state } };
                for (const [lag_records, lag_seconds, drained_in_seconds] of lags)
                    said.push(drained({ lag_records, lag_seconds, drained_in_seconds }, shot));
            }
            return said;
        }"""
    )
    assert steady == [
        "now", "steadily", "not soon", "in 3.0 s", "now", "steadily", "steadily", "in 3.0 s",
        "now", "steadily", "steadily", "in 3.0 s",
    ]  # fmt: skip


GUARDED = {"/searched-letters.json": "GET", "/letter.json?place=1/0/0": "GET",
           "/messages.json": "GET", "/message.json?place=0/0": "GET", "/sql.json": "POST",
           "/try-letter.json?place=1/0/0&how=sql": "POST",
           "/replay-letter.json?place=1/0/0&how=sql": "POST"}  # fmt: skip


def test_who_has_no_token_sees_no_data(address: Address) -> None:
    for path, method in GUARDED.items():
        for given in (None, "", "Bearer", "Bearer x", f"Basic {address.token}",
                      f"Bearer {address.token}x"):  # fmt: skip
            headers = {} if given is None else {"Authorization": given}
            status, _, body = ask(address, path, method, "SELECT 'seen'", **headers)
            assert (status, b"seen" in body) == (401, False)
            assert b"open the address that `nrtctl dashboard` prints" in body
    _, _, body = ask(address, "/letters.json")
    for letter in json.loads(body)["letters"]:
        assert letter.keys() == {"incarnation", "partition", "offset", "timestamp", "rejected_at",
                                 "reason", "field", "bytes", "purged"}  # fmt: skip
    assert ask(address, "/letters.json?text=a")[0] == 400


def test_sql_only_reads_within_limits_that_it_cannot_lift(address: Address) -> None:
    def run(statement: str) -> tuple[int, dict[str, Any]]:
        login = f"Bearer {address.token}"
        status, _, body = ask(address, "/sql.json", "POST", statement, Authorization=login)
        return status, json.loads(body)

    status, found = run("SELECT 7 AS n, NULL AS nothing, '<b>' AS text, toDate('2026-01-05') AS d;")
    assert (status, found["rows"], found["more"]) == (
        200,
        [["7", None, "<b>", "2026-01-05"]],
        False,
    )
    assert found["numbers"] == [True, False, False, False]
    status, found = run("SELECT number FROM numbers(1000000)")
    assert (status, len(found["rows"]), found["more"]) == (200, 1000, True)
    status, found = run("SELECT count() AS n FROM events")
    assert (status, found["names"], found["types"]) == (200, ["n"], ["UInt64"])
    for statement, why in (
        ("INSERT INTO events (_offset) VALUES (1)", "read-only"),
        ("DROP TABLE events", "read-only"),
        ("SELECT 1 SETTINGS max_execution_time = 0", "read-only"),
        ("SELECT * FROM file('/etc/passwd', 'CSV')", ""),
        ("SELECT 1 FORMAT CSV", "leave it out"),
        ("SELECT 1 FORMAT JSONCompactEachRow", "leave it out"),
        ("SELECT '[' FORMAT TSVRaw", "leave it out"),
        ("SELECT nothing", "nothing"),
        (" ; ", "write one"),
    ):
        status, found = run(statement)
        assert (status >= 400, why in f"{found['error']} {found['hint']}") == (True, True), found


def test_one_of_the_messages_listed_is_read_by_its_place(address: Address) -> None:
    def read(path: str) -> tuple[int, dict[str, Any]]:
        status, _, body = ask(address, path, Authorization=f"Bearer {address.token}")
        return status, json.loads(body)

    status, found = read("/messages.json?count=1&grep=.")
    assert (status, len(found["messages"]), found["whole"], found["slow"]) == (200, 1, True, None)
    # The newest may be a large one of another test, of which the list has the beginning only.
    listed = next(e for e in read("/messages.json?count=50&grep=.")[1]["messages"] if not e["cut"])
    assert listed.pop("cut") is False
    place = f"{listed['partition']}/{listed['offset']}"
    assert read(f"/message.json?place={place}") == (200, listed)
    for wrong, why in (
        (f"{listed['partition']}/99999999999", "Kafka no longer has message"),
        ("99/0", "there is no partition 99"),
        ("0", "is no partition and offset"),
    ):
        status, found = read(f"/message.json?place={wrong}")
        assert (status, why in found["error"]) == (400, True), found
    status, found = read("/messages.json?grep=(")
    assert (status, "is not a regular expression" in found["error"]) == (400, True)


@IN_BOTH
def test_pages_show_letters_messages_and_rows_of_sql_as_text(
    busy: Project, address: Address, page: Page, heard: Heard, scheme: Scheme
) -> None:
    hostile = f"<img src=x onerror=alert('{scheme}')> no JSON"
    large = f"{scheme} and large" + "." * 5000 + "<b>its end"
    lines = [
        json.dumps(
            {"nrtctl_message": 1, "timestamp": None, "key": "k", "headers": [], "value": each}
        )
        for each in (hostile, large)
    ]
    busy.run("produce", "--input", "-", "--format", "messages", stdin="\n".join(lines).encode())
    page.emulate_media(color_scheme=scheme)
    page.goto(address.opening("/letters"))
    assert "token" not in page.url
    first = page.locator("#list tbody tr").first
    expect(first).to_be_visible(timeout=30_000)

    def searched(text: str) -> None:
        page.fill("#text", text)
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#found")).to_contain_text("shown", timeout=30_000)

    def found() -> bool:
        searched("onerror=alert")
        return page.locator("#list tbody tr").count() == 1

    def offered() -> bool:
        searched("")
        return page.locator("#reason option[value='wrong type']").count() == 1

    eventually(found, "the message has become a dead letter")
    page.locator("#list button").first.click()
    expect(page.locator("#one pre").first).to_have_text(hostile, timeout=30_000)
    expect(page.locator("#one")).to_contain_text("nrtctl dlq replay --partition")
    place = page.inner_text("#list button").split("/")
    mended(page, busy)
    here = f"_partition = {place[0]} AND _offset = {place[1]}"
    assert busy.rows(f"SELECT status AS e FROM events WHERE {here}") == [{"e": "<b>mended</b>"}]
    assert busy.value(f"SELECT count() AS n FROM dead_letters WHERE {here}") == 0
    log = f"SELECT outcome, fix FROM dead_letters_log WHERE {here}"
    assert busy.rows(log) == [{"outcome": "stored", "fix": "edited"}]
    eventually(offered, "a message with a wrong type has become one")
    page.select_option("#reason", "wrong type")
    expect(page.locator("#found")).to_contain_text("shown", timeout=30_000)
    expect(first).to_contain_text("wrong type")
    page.locator("#list button").first.click()
    expect(page.locator("#one dd li").first).to_be_visible(timeout=30_000)
    page.click("nav a[href='/messages']")
    expect(page.locator("#list tbody tr")).to_have_count(50, timeout=30_000)
    for pattern, end in ((f"{scheme} and la.ge", "<b>its end"), (f"alert..{scheme}", "no JSON")):
        page.fill("#grep", pattern)
        page.get_by_role("button", name="Read").click()
        expect(page.locator("#list tbody tr")).to_have_count(1, timeout=30_000)
        expect(page.locator("#found")).to_contain_text("1 of user_events", timeout=30_000)
        page.locator("#list button").first.click()
        expect(page.locator("#one pre")).to_contain_text(end, timeout=30_000)
    looked_at(page)
    page.click("nav a[href='/sql']")
    expect(page.locator("#statement")).not_to_have_value("", timeout=30_000)
    page.fill("#statement", "SELECT event_type, count() AS n FROM events GROUP BY 1 ORDER BY 1")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#rows tbody tr")).to_have_count(5, timeout=30_000)
    expect(page.locator("#charts canvas")).to_be_visible()
    looked_at(page)
    page.fill("#statement", "DROP TABLE events")
    page.click("#run")
    expect(page.locator("#rows")).to_contain_text("this page is read-only", timeout=30_000)
    assert [each for each in heard.said if "400" not in each] == []


def mended(page: Page, project: Project) -> None:
    """The letter that is shown is tried as it is, then as another text, and replayed."""
    event = project.rows("SELECT * EXCEPT('^_') FROM events LIMIT 1")
    text = {name: value for name, value in event[0].items() if name != "event_time"}
    said, again = page.locator(".fix [role=status]"), page.get_by_role("button", name="Replay")

    def tried() -> bool:
        page.get_by_role("button", name="Try", exact=True).click()
        expect(said).not_to_have_text("asking …", timeout=30_000)
        return said.inner_text() == "It would remain a dead letter: not JSON."

    eventually(tried, "the consumer has gone on after the letter")
    expect(again).to_be_disabled()
    page.locator(".fix textarea").fill(json.dumps({**text, "error_code": "<b>5"}))
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator(".fix li")).to_contain_text('error_code is "<b>5", not', timeout=30_000)
    page.locator(".fix textarea").fill(json.dumps({**text, "status": "<b>mended</b>"}))
    page.keyboard.press("Control+Enter")
    expect(said).to_have_text("It would be a row of events.", timeout=30_000)
    expect(page.locator(".fix .row")).to_contain_text("<b>mended</b>")
    looked_at(page)
    again.click()
    expect(said).to_contain_text("It is stored in events", timeout=60_000)
    expect(page.locator("#list")).to_contain_text("No dead letter matches", timeout=30_000)


def looked_at(page: Page) -> None:
    """As wide as a phone and a wall: nothing is clipped, and axe finds nothing."""
    for width in (320, 360, 768, 2560, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CLIPPED) == [], (page.url, width)
    assert serious(page) == []


def test_a_dashboard_that_is_killed_in_a_replay_loses_nothing(stack: Project) -> None:
    stack.use_pipelines("[pipeline]\ntopic = 'orders'\n[pipeline.fields]\nid = 'UInt64'\n")
    stack.run("up")
    stack.run("produce", "--input", "-", stdin=b'{"id":1}\n{"id":"x"}\n')
    stack.run("consume", "--until-end")
    (letter,) = stack.json("dlq", "list")
    path = f"-letter.json?place=1/{letter['partition']}/{letter['offset']}"

    def post(address: Address, what: str, body: str = "") -> dict[str, Any]:
        how = "text" if body else "value"
        login = f"Bearer {address.token}"
        status, _, found = ask(
            address, f"/{what}{path}&how={how}", "POST", body, Authorization=login
        )
        assert status == 200, found
        told: dict[str, Any] = json.loads(found)
        return told

    def held() -> tuple[Any, ...]:
        found = stack.json("verify", code=None)
        return tuple(found[each] for each in ("stored", "dead_letters", "missing"))

    pipe = subprocess.PIPE
    environ = {**stack.environ, "NRTCTL_FAULT": "letter-inserted=1"}
    killed = stack.spawn("dashboard", "--port", "0", stdout=pipe, stderr=pipe, environ=environ)
    assert killed.stdout
    address = Address.printed(killed.stdout.readline().decode().strip())
    assert post(address, "try", '{"id":7}')["rows"] == [["7"]]
    assert held() == (1, 1, 0)
    with pytest.raises((http.client.HTTPException, OSError)):
        post(address, "replay", '{"id":7}')
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert held() == (2, 1, 0)
    with dashboard(stack, "--port", "0") as again:
        assert post(again, "try")["fate"] == "already"
        assert post(again, "replay")["fate"] == "already"
        assert post(again, "replay")["fate"] == "gone"
    assert held() == (2, 0, 0)
    assert sorted(each["id"] for each in stack.rows("SELECT id FROM events")) == [1, 7]


def test_a_page_without_the_token_says_how_to_get_it(address: Address, page: Page) -> None:
    page.goto(f"{address}/messages")
    found = page.locator("#found")
    expect(found).to_contain_text("open the address that `nrtctl dashboard`", timeout=30_000)
    page.goto(f"{address}/letters")
    expect(page.locator("#list tbody tr").first).to_be_visible(timeout=30_000)
    assert page.is_hidden("#text")


def test_the_printed_address_works_in_a_tab_that_shows_the_page_already(
    address: Address, page: Page
) -> None:
    """As after a restart of the dashboard: a browser loads nothing for what stands behind the #."""
    page.goto(f"{address}/messages#token=old")
    expect(page.locator("#found")).to_contain_text("has the token for it", timeout=30_000)
    page.goto(address.opening("/messages"))
    expect(page.locator("#found")).to_contain_text("of user_events", timeout=30_000)
    assert "token" not in page.url


def test_the_past_is_that_of_the_table(busy: Project, address: str) -> None:
    def counted() -> bool:
        status, _, body = ask(address, "/past.json?range=15m")
        assert status == 200
        found = json.loads(body)
        step = found["step_seconds"]
        assert len(found["series"]["time"]) == len(found["series"]["p99"]) == 90
        ends = found["series"]["time"][-1]
        sql = (
            "SELECT count() AS n FROM {} WHERE "
            f"_inserted_at >= fromUnixTimestamp64Milli({(ends - 900) * 1000}) "
            f"AND _inserted_at < fromUnixTimestamp64Milli({ends * 1000})"
        )
        rows, letters = (busy.value(sql.format(each)) for each in ("events", "dead_letters"))
        stored = sum(found["series"]["consumed_per_second"]) * step
        dead = sum(map(sum, found["reasons"].values())) * step
        assert (round(stored), round(dead)) == (int(rows) + int(letters), int(letters))
        return int(letters) > 0

    eventually(counted, "a step in which letters were stored has ended")
    assert ask(address, "/past.json?range=1y")[0] == 400


@pytest.mark.parametrize(
    ("scheme", "ranges"),
    [
        ("light", False),
        pytest.param("light", True, marks=pytest.mark.long),
        pytest.param("dark", True, marks=pytest.mark.long),
    ],
)
def test_of_several_pipelines_it_shows_a_row_each_that_leads_to_one_in_depth(
    stack: Project, page: Page, heard: Heard, scheme: Scheme, ranges: bool
) -> None:
    """
    Args:
        ranges: the charts show ranges of time too, and a pipeline's letters are opened.
    """
    names = ["orders", "eu-clicks"]
    stack.use_pipelines("".join(f"[pipelines.{each}.fields]\nid = 'UInt64'\n" for each in names))
    stack.run("up")
    stack.run("produce", "--pipeline", "orders", "--input", "-", stdin=b'{"id":1}\n' * 5)
    stack.run("consume", "--pipeline", "orders", "--until-end")
    page.emulate_media(color_scheme=scheme)
    with dashboard(stack, "--port", "0") as address:
        page.goto(address)
        expect(page.locator(".pipelines tbody tr")).to_have_count(2, timeout=30_000)
        expect(page.locator("#title")).to_have_text("2 pipelines")
        first = page.locator(".pipelines tbody tr").first
        expect(first).to_contain_text("idle", timeout=30_000)
        expect(page.locator("#cause")).to_be_empty(timeout=30_000)
        tiles = page.locator("#tiles")
        expect(tiles).to_contain_text(re.compile("rows stored\\s*5"), timeout=30_000)
        assert page.is_hidden("#depth")
        if ranges:
            show_ranges(page, address, names)
        looked_at(page)
        if ranges:
            page.get_by_role("button", name="live", exact=True).click()
            expect(page.locator("#charts-note")).to_be_empty(timeout=30_000)
        page.locator(".pipelines a").nth(1).click()
        title = page.locator("#title")
        expect(title).to_have_text("eu-clicks: eu-clicks → eu_clicks", timeout=30_000)
        assert page.url == f"{address}/?pipeline=eu-clicks"
        expect(page.locator("#partitions tbody tr").first).to_be_visible(timeout=30_000)
        assert page.is_hidden("#overview")
        page.click("#all")
        expect(page.locator(".pipelines tbody tr")).to_have_count(2, timeout=30_000)
        assert heard.said == []
        page.goto(f"{address}/?pipeline=nothing")
        cause = page.locator("#cause")
        expect(cause).to_contain_text("there are orders, eu-clicks", timeout=30_000)
        if ranges:
            page.goto(address.opening("/letters"))
            page.wait_for_url("**/letters?pipeline=orders")
            expect(page.locator("#list")).to_contain_text("no dead letters", timeout=30_000)
            page.select_option("#pipeline", "eu-clicks")
            expect(title).to_have_text("eu-clicks: eu-clicks → eu_clicks", timeout=30_000)


def show_ranges(page: Page, address: str, names: list[str]) -> None:
    page.get_by_role("button", name="15 min", exact=True).click()
    expect(page.locator("#charts-note")).to_contain_text("each 10 s", timeout=30_000)
    out = page.locator("#chart-out .plot")
    expect(out).to_have_attribute("aria-valuemax", re.compile("89|90"), timeout=30_000)
    expect(page.locator("#chart-out .legend")).to_contain_text("eu-clicks")
    assert page.url == f"{address}/?range=15m"
    past = json.loads(ask(address, "/pasts.json?range=1h")[2])
    assert (past["errors"], past["step_seconds"], [*past["pipelines"]]) == ({}, 30, names)


def test_the_policy_keeps_the_page_from_other_hosts(address: str, page: Page) -> None:
    page.goto(address)
    blocked = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective));
            fetch("http://127.0.0.1:9/").catch(() => {});
        })"""
    )
    assert blocked == "connect-src"


def test_a_page_comes_back_when_the_dashboard_does(busy: Project, page: Page) -> None:
    with dashboard(busy, "--port", "0") as address:
        opened(page, address)
    expect(page.locator("#state")).to_have_text("not connected")
    with dashboard(busy, "--port", str(urlsplit(address).port)) as again:
        assert again == address
        expect(page.locator("#state")).not_to_have_text("not connected", timeout=30_000)


def test_the_snapshot_is_that_of_stats(address: str) -> None:
    status, headers, body = ask(address, "/snapshot.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    shot = json.loads(body)
    assert shot["topic"] == "user_events"
    assert shot["lag_records"] == sum(each["lag_records"] for each in shot["lag"])
    assert len(shot["lag"]) == 4


def test_only_loopback_names_are_answered(address: str) -> None:
    port = urlsplit(address).port
    for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "LOCALHOST:1"):
        assert ask(address, "/snapshot.json", Host=host)[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "",
        "localhost:x",
    ):
        for path in ("/", "/snapshot.json", "/events"):
            status, headers, body = ask(address, path, Host=host)
            assert (status, b"user_events" in body) == (421, False)
            assert "default-src 'none'" in headers["content-security-policy"]


def test_it_is_read_only(address: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(address, "/snapshot.json", method)[0] == 405
    assert ask(address, "/", "HEAD")[0] == 200
    for path in ("/page/index.html", "/../app.py", "/docs", "/dashboard.css/.."):
        assert ask(address, path)[0] == 404


def test_every_file_forbids_what_the_page_does_not_need(address: str) -> None:
    for path in ("/", *(f"/{name}" for name in FILES), "/snapshot.json", "/past.json?range=5m"):
        status, headers, body = ask(address, path)
        assert status == 200
        assert body
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_a_port_in_use_is_refused(busy: Project, address: str) -> None:
    done = busy.run("dashboard", "--port", str(urlsplit(address).port), code=2)
    assert b"in use" in done.stderr
    assert b"--port 0" in done.stderr
    assert done.stdout == b""


def test_it_ends_with_ctrl_c(busy: Project) -> None:
    running = busy.start("dashboard", "--port", "0", "-o", "json")
    assert running.stdout
    while b"}" not in running.stdout.readline():
        pass
    assert running.stderr
    assert running.stderr.readline() == b"press Ctrl-C to end it\n"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=90)
    assert running.returncode == 130
    assert said.splitlines() == [
        b"stopping when what is in progress is finished (a second Ctrl-C stops at once)",
        b"error: interrupted",
    ]


def test_it_wants_no_extra() -> None:
    """It works where the extra `local` is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['chdb'] = sys.modules['kio'] = None\n"
         "sys.modules['httptools'] = None\nimport nrtctl.view.dashboard.serve"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
