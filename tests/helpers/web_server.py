"""Servers on this machine that answer as a test says."""

import contextlib
import http.server
import re
import threading


class Server(http.server.ThreadingHTTPServer):
    """Answers request number n by `answers[n]`, the last one for all others, whatever the path.
    `asked` keeps the headers of the requests, `paths` what they were for.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers, name="whole.bin"):
        self.answers, self.asked, self.paths = answers, [], []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        number = len(self.server.asked)
        self.server.asked.append(dict(self.headers))
        self.server.paths.append(self.path)
        with contextlib.suppress(ConnectionError):  # the one who asks may have gone
            self.server.answers[min(number, len(self.server.answers) - 1)](self)

    def log_message(self, *_):
        pass


def send(handler, body=b"", status=200, length=None, **headers):
    """Answer; `length` is announced, that of the body where it is None, none where it is False."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not False:
        handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def ranged(handler, content, part=1.0, tag='"1"'):
    """What a server with Range support sends, or the first part of it."""
    headers = {"ETag": tag, "Accept_Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not asked or handler.headers.get("If-Range") != tag:
        send(handler, content[: int(part * len(content))], length=len(content), **headers)
        return
    start = int(asked.group(1))
    if start >= len(content):
        send(handler, status=416)
        return
    headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    rest = content[start:]
    send(handler, rest[: int(part * len(rest))], 206, len(rest), **headers)
