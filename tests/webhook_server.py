"""A web server on this machine that answers as it is told."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebhookServer:
    """answer(number) -> status, "never", "slowly" or "half" (no body); number counts the requests
    from 0.

    certificate: its file and that of its key, for https.
    requests: the headers and the body of each. taken: those that were answered with 200.
    """

    def __init__(self, answer=lambda number: 200, *, certificate=None):
        self.answer, self.requests, self.taken = answer, [], []
        self._over, lock, owner = threading.Event(), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    number = len(owner.requests)
                    owner.requests.append((self.headers, body))
                owner._answer(self, owner.answer(number), (self.headers, body))

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme, host = "http", "127.0.0.1"
        if certificate is not None:
            scheme, host = "https", "localhost"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://{host}:{self._server.server_port}/hooks/tell-nobody?key=k3y"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def _answer(self, handler, answer, request):
        if answer == "never":
            self._over.wait(30)
            handler.close_connection = True
            return
        cut = answer in ("slowly", "half")
        status = 200 if cut else answer
        if status == 200:
            self.taken.append(request)
        handler.send_response(status)
        handler.send_header("Content-Length", "1000" if cut else "2")
        handler.end_headers()
        if not cut:
            handler.wfile.write(b"ok")
            return
        handler.close_connection = True
        handler.wfile.flush()
        if answer == "half":
            self._over.wait()
            return
        for _ in range(1000):
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                return
            if self._over.wait(0.05):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
