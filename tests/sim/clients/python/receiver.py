"""A web server of an application: it takes what a portal sends and says 200."""

import http.server
import queue
import threading
import urllib.parse


class Receiver:
    """A running server on loopback. Each request comes out of `next()` as one flat dict."""

    def __init__(self):
        self._came = came = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                query = urllib.parse.urlsplit(self.path).query
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                came.put(_fields(query) | _fields(body))

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/handler"

    def next(self):
        return self._came.get(timeout=10)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def _fields(text):
    return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
