"""The standard library's HTTP server, a thread for each connection: `http_python.py --port N`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"Vrypt"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # One write for head and body.
    wbufsize = -1

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, _format, *_arguments):
        """Nothing is logged, as by the others."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


port = int(sys.argv[sys.argv.index("--port") + 1])
Server(("127.0.0.1", port), Handler).serve_forever()
