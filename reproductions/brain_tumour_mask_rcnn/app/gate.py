"""Who may ask the page what: every request passes here before Voilà sees it.

Only this machine's own user is answered: the address has to be this page's own, other sites are
refused, and the first request has to bring the token from the printed address, which is exchanged
for a cookie. Only the paths and arguments that the page uses are let through, whatever else the
installed version of Voilà would understand, such as `?template=`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Callable, Dict, NamedTuple, Optional, Sequence
from urllib.parse import parse_qsl

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

KERNEL = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PATHS = r"[\w@.-]+(/[\w@.-]+)*"


class Door(NamedTuple):
    """One kind of request that is let through."""

    methods: Sequence[str]
    path: str
    arguments: Sequence[str] = ()


DOORS = (
    Door(("GET",), "/", ("token",)),
    Door(("GET",), rf"/state/{KERNEL}"),
    Door(("GET",), rf"/api/kernels/{KERNEL}"),
    Door(("GET",), rf"/api/kernels/{KERNEL}/channels", ("session_id",)),
    Door(("POST",), rf"/voila/api/shutdown/{KERNEL}", ("_xsrf",)),
    Door(("GET", "HEAD"), rf"/voila/(static|labextensions|api/themes)/{PATHS}", ("v",)),
    Door(("GET", "HEAD"), rf"/voila/templates/brain_page/static/{PATHS}", ("v",)),
)

PAGE = """<!DOCTYPE html><html lang="tr"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme"
content="light dark"><title>Beyin MR · Brain MR</title>{head}</head>
<body style="font: 18px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto;
padding: 0 1em"><main><p>{turkish}</p><p lang="en">{english}</p></main></body></html>"""
ENTER = '<meta http-equiv="refresh" content="0; url=/">'
RELOAD = '<meta http-equiv="refresh" content="15">'
OPENING = ("Sayfa açılıyor…", "Opening the page…")
WRONG_ADDRESS = (
    "Bu sayfa yalnızca terminalde yazan adresle açılır. O adresi olduğu gibi açın.",
    "This page opens only at the address printed in the terminal. Open that address as it is.",
)
REFUSED = ("Bu istek kabul edilmez.", "This request is not accepted.")
FULL = (
    "Açık sekme sayısı sınırda ({most}). Bir sekmeyi kapatın; bu sayfa kendisi yeniden dener.",
    "As many tabs are open as there may be ({most}). Close one; this page tries again by itself.",
)


class Answer(RequestHandler):
    """A short page of the gate's own."""

    def initialize(
        self,
        status: int,
        texts: Sequence[str],
        head: str = "",
        cookies: Optional[Dict[str, str]] = None,
    ) -> None:
        self.status, self.texts, self.head_part = status, texts, head
        self.cookies_to_set = cookies or {}

    def check_xsrf_cookie(self) -> None:
        """Nothing is changed by what is answered here."""

    def prepare(self) -> None:
        self.set_status(self.status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        for name, value in self.cookies_to_set.items():
            # The page's own scripts have to read the second one, to send it back.
            self.set_cookie(name, value, samesite="Strict", httponly=name != "_xsrf")
        turkish, english = self.texts
        self.finish(PAGE.format(head=self.head_part, turkish=turkish, english=english))


class Gate(Router):
    """Stands before a Tornado application.

    Args:
        application: answers what is let through.
        port: of the page.
        has_room: says whether one more tab may be opened, and keeps a place for it.
        most_tabs: named where there is none.
    """

    def __init__(
        self, application: Application, port: int, has_room: Callable[[], bool], most_tabs: int
    ):
        self.application, self._has_room, self._most_tabs = application, has_room, most_tabs
        self.token = secrets.token_urlsafe(24)
        self.cookie_name, self._cookie = f"brain-ui-{port}", secrets.token_urlsafe(24)
        self._xsrf = secrets.token_hex(16)
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())

    @property
    def settings(self) -> dict:
        """Of the application."""
        return self.application.settings

    def find_handler(self, request: HTTPServerRequest, **options) -> Optional[HTTPMessageDelegate]:
        """Give what answers a request."""
        refusal = self.refusal(request)
        if refusal is None:
            return self.application.find_handler(request)
        return self.application.get_handler_delegate(request, Answer, refusal)

    def refusal(self, request: HTTPServerRequest) -> Optional[dict]:
        """Say how a request is answered that Voilà does not get to see; None where it does."""
        if request.headers.get_list("Host") != [request.host]:
            return {"status": 400, "texts": REFUSED}
        if request.host.lower() not in self._hosts:
            return {"status": 403, "texts": WRONG_ADDRESS}
        door = _door(request)
        if door is None:
            return {"status": 404, "texts": REFUSED}
        arguments = dict(parse_qsl(request.query, keep_blank_values=True))
        enters = request.path == "/"
        if enters and self._knows_token(arguments):
            cookies = {self.cookie_name: self._cookie, "_xsrf": self._xsrf}
            return {"status": 200, "texts": OPENING, "head": ENTER, "cookies": cookies}
        if _is_foreign(request):
            return {"status": 403, "texts": REFUSED}
        if not self._knows_cookie(request):
            return {"status": 403, "texts": WRONG_ADDRESS}
        if enters and not _is_navigation(request):
            return {"status": 403, "texts": REFUSED}
        if enters and not self._has_room():
            texts = [text.format(most=self._most_tabs) for text in FULL]
            return {"status": 503, "texts": texts, "head": RELOAD}
        return None

    def _knows_token(self, arguments: Dict[str, str]) -> bool:
        return hmac.compare_digest(arguments.get("token", "").encode(), self.token.encode())

    def _knows_cookie(self, request: HTTPServerRequest) -> bool:
        try:
            cookies = SimpleCookie(request.headers.get("Cookie", ""))
        except CookieError:
            return False
        sent = cookies[self.cookie_name].value if self.cookie_name in cookies else ""
        return hmac.compare_digest(sent.encode(), self._cookie.encode())


def _door(request: HTTPServerRequest) -> Optional[Door]:
    """Which door a request goes through; None where there is none for it."""
    if ".." in request.path:
        return None
    arguments = parse_qsl(request.query, keep_blank_values=True)
    # JupyterLab's own requests bear the time as a name without a value, against caches.
    named = {name for name, value in arguments if value or not name.isdigit()}
    for door in DOORS:
        if request.method in door.methods and re.fullmatch(door.path, request.path, re.ASCII):
            return door if named <= set(door.arguments) else None
    return None


def _is_foreign(request: HTTPServerRequest) -> bool:
    """Whether a browser says that another site, or another port, has made a request."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", f"http://{request.host}")
    return site not in ("same-origin", "none") or origin.lower() != f"http://{request.host.lower()}"


def _is_navigation(request: HTTPServerRequest) -> bool:
    """Whether a request is for a tab: no image, no frame, nothing fetched beforehand."""
    headers = request.headers
    ahead = "Sec-Purpose" in headers or "Purpose" in headers or "X-Moz" in headers
    return headers.get("Sec-Fetch-Dest", "document") == "document" and not ahead
