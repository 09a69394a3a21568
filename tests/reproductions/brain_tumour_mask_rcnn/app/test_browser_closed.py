"""The running page is closed to others: each request that must be refused is made."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from .browser import SECONDS, leave, open_tab, until

REFUSALS = {
    "another host": {"Host": "evil.example"},
    "a host that resolves to this machine": {"Host": "127.0.0.1.nip.io"},
    "another port": {"Host": "127.0.0.1:1"},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site"},
    "another origin": {"Origin": "http://evil.example"},
    "an origin that is hidden": {"Origin": "null"},
    "an image": {"Sec-Fetch-Dest": "image"},
    "a frame": {"Sec-Fetch-Dest": "iframe"},
    "a fetch beforehand": {"Sec-Purpose": "prefetch"},
    "no cookie": {"Cookie": ""},
    "a wrong cookie": {"Cookie": "brain-ui=1"},
}


def ask(server, path: str = "/", method: str = "GET", **headers):
    """Answer to a request with these headers: status, headers, text."""
    place = urlsplit(server.root)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode(errors="replace")


@pytest.fixture(scope="module", autouse=True)
def no_tab_is_left(server):
    """Tabs of other tests have gone."""
    until(lambda: not server.tabs)


@pytest.fixture(scope="module")
def cookie(server):
    """What a browser gets for the token."""
    status, headers, _ = ask(server, "/?" + urlsplit(server.entrance).query)
    assert status == 200
    cookies = headers.get_all("Set-Cookie")
    assert all("SameSite=Strict" in cookie for cookie in cookies)
    assert [("HttpOnly" in cookie) for cookie in cookies] == [True, False]
    return "; ".join(cookie.partition(";")[0] for cookie in cookies)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_come_from_the_page_is_refused_and_starts_nothing(server, cookie, case):
    status, _, text = ask(server, **{"Cookie": cookie, **REFUSALS[case]})
    assert status == 403 and "<main>" in text
    assert not server.tabs


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%C3%BC"])
def test_without_the_token_nothing_is_shown(server, query):
    status, headers, text = ask(server, "/" + query)
    assert status == 403 and "Set-Cookie" not in headers and "terminal" in text
    assert not server.tabs


@pytest.mark.parametrize(
    "path",
    [
        "/?template=../../../../tmp/x",
        "/?voila-template=lab",
        "/?theme=dark",
        "/?x=1",
        "/voila/templates/../../../../etc/static/passwd",
        "/voila/templates/%2e%2e/static/a",
        "/voila/templates/lab/static/index.css",
        "/voila/static/../../../setup.cfg",
        "/voila/static/%2e%2e/app.py",
        "/voila/files/page.ipynb",
        "/voila/render/page.ipynb",
        "/page.ipynb",
        "/api/kernels",
        "/api/contents",
        "/login",
    ],
)
def test_only_what_the_page_uses_is_let_through(server, cookie, path):
    assert ask(server, path, Cookie=cookie)[0] == 404
    assert not server.tabs


def listen_from_elsewhere(server, cookie, kernel: str) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    path = f"/api/kernels/{kernel}/channels"
    for wrong in ({"Origin": "http://evil.example"}, {"Cookie": ""}, {"Host": "evil.example"}):
        assert ask(server, path, **{**upgrade, "Cookie": cookie, **wrong})[0] == 403
    assert ask(server, f"/state/{kernel}")[0] == 403


def test_a_tab_cannot_be_listened_to_or_ended_from_elsewhere(chromium, server, cookie):
    tab = open_tab(chromium, server)
    config = json.loads(tab.locator("#jupyter-config-data").text_content())
    listen_from_elsewhere(server, cookie, config["kernelId"])
    goodbye = f"/voila/api/shutdown/{config['kernelId']}"
    assert ask(server, goodbye, "POST", Cookie=cookie)[0] == 403
    assert ask(server, goodbye + "?_xsrf=1", "POST", Cookie=cookie)[0] == 403
    assert len(server.tabs) == 1
    own = re.search(r"_xsrf=(\w+)", cookie).group(1)
    answer = ask(server, f"{goodbye}?_xsrf={own}", "POST", Cookie=cookie)
    assert answer[0] == 204
    until(lambda: not server.tabs)
    leave(tab)


def test_a_tab_runs_no_code_that_a_browser_sends(chromium, server, tmp_path):
    tab = open_tab(chromium, server)
    config = json.loads(tab.locator("#jupyter-config-data").text_content())
    written = tmp_path / "written"
    answers = tab.evaluate(
        """([kernel, code]) => new Promise(done => {
          const place = location.host + "/api/kernels/" + kernel + "/channels?session_id=x";
          const socket = new WebSocket("ws://" + place), seen = [];
          const ask = (type, content) => socket.send(JSON.stringify({
            header: { msg_id: type, msg_type: type, username: "", session: "x", version: "5.3",
                      date: "2026-01-01T00:00:00Z" },
            parent_header: {}, metadata: {}, content, channel: "shell", buffers: [] }));
          socket.onmessage = event => {
            const told = JSON.parse(event.data), about = told.parent_header.msg_id;
            seen.push(about + ": " + told.header.msg_type);
            if (seen.includes("kernel_info_request: kernel_info_reply")) done(seen);
            setTimeout(() => done(seen), 60000);
          };
          socket.onopen = () => {
            ask("execute_request", { code, silent: false, store_history: false,
                                     user_expressions: {}, allow_stdin: false });
            ask("kernel_info_request", {});
          };
        })""",
        [config["kernelId"], f"open({str(written)!r}, 'w').close()"],
    )
    assert "kernel_info_request: kernel_info_reply" in answers
    assert not [answer for answer in answers if answer.startswith("execute_request")]
    assert not written.exists()
    leave(tab)


def test_the_page_asks_nothing_of_others_and_a_second_tab_needs_no_token(chromium, server):
    context = chromium.new_context()
    context.set_default_timeout(SECONDS * 1000)
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: complaints.append(message.text))
    tab = context.new_page()
    tab.goto(server.entrance)
    tab.locator(".bt-page").wait_for()
    assert tab.url == server.root  # the token stays in no address bar
    second = context.new_page()
    answer = second.goto(server.root)
    second.locator(".bt-page").wait_for()
    assert answer.headers["x-frame-options"] == "DENY"
    assert all(url.startswith((server.root, "data:", "blob:")) for url in asked)
    assert not [text for text in complaints if "Content Security Policy" in text]
    leave(tab)
    until(lambda: not server.tabs)


def test_only_this_machine_is_listened_to(server):
    until(lambda: not server.tabs)  # none that ends while it is looked at
    everything = [server.process, *server.process.children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in everything
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}


def test_the_terminal_shows_the_address_and_no_line_of_a_library(server):
    lines = server.log.read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith(server.entrance)
