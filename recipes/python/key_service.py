"""A key service on loopback, one in ten of whose answers takes 400 ms."""

import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = b"test-key-test-key-test-key-test!"
STALL = 0.4  # seconds
ONE_IN = 10


def start(stalls: bool = True) -> str:
    """Starts one on a free port, and returns its address. It ends with the program."""
    calls = itertools.count(1)

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections
        wbufsize = -1  # one write for head and body: two would wait for the client's delayed ACK

        def do_GET(self) -> None:
            if stalls and next(calls) % ONE_IN == 0:
                time.sleep(STALL)
            self.send_response(200)
            self.send_header("Content-Length", str(len(KEY)))
            self.end_headers()
            self.wfile.write(KEY)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
