"""Echo and broadcast on selectors: `python3 wire_selectors.py --echo|--broadcast --port N`.

The loop written by hand. Prints the port, which it chooses if N is 0.
"""

import selectors
import socket
import sys

# A receiver that has more than this unsent misses what comes meanwhile.
UNSENT_BYTES_MAX = 64 * 1024
# A line may be this long; who sends a longer one is closed.
LINE_BYTES_MAX = 64 * 1024
PAGE_BYTES = 64 * 1024


class Connection:
    __slots__ = ("held", "socket", "unsent")

    def __init__(self, accepted):
        self.socket = accepted
        self.held = b""
        self.unsent = b""


class Server:
    def __init__(self, port, echoes):
        self.selector = selectors.DefaultSelector()
        self.serve = self.echo if echoes else self.broadcast
        self.room = set()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        print(self.listener.getsockname()[1], flush=True)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def run(self):
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    self.accept()
                    continue
                try:
                    if events & selectors.EVENT_WRITE:
                        self.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self.receive(key.data)
                except OSError:
                    self.close(key.data)

    def accept(self):
        try:
            accepted, _ = self.listener.accept()
        except OSError:
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(accepted)
        self.room.add(connection)
        self.selector.register(accepted, selectors.EVENT_READ, connection)

    def close(self, connection):
        if connection in self.room:
            self.room.discard(connection)
            self.selector.unregister(connection.socket)
            connection.socket.close()

    def receive(self, connection):
        if connection not in self.room:
            return
        data = connection.socket.recv(PAGE_BYTES)
        if data:
            self.serve(connection, data)
        else:
            self.close(connection)

    def echo(self, connection, data):
        self.send(connection, data)

    def broadcast(self, connection, data):
        data = connection.held + data
        whole = data.rfind(b"\n") + 1
        connection.held = data[whole:]
        if len(connection.held) > LINE_BYTES_MAX:
            self.close(connection)
        if whole == 0:
            return
        lines = data[:whole]
        for other in list(self.room):
            if other is not connection and len(other.unsent) <= UNSENT_BYTES_MAX:
                try:
                    self.send(other, lines)
                except OSError:
                    self.close(other)

    def send(self, connection, data):
        if connection.unsent:
            connection.unsent += data
            return
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            connection.unsent = data[sent:]
            self.watch(connection)

    def flush(self, connection):
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            return
        connection.unsent = connection.unsent[sent:]
        self.watch(connection)

    def watch(self, connection):
        """Waits to write while there is something to be sent; an echo does not read then."""
        events = selectors.EVENT_READ
        if connection.unsent:
            writes_only = self.serve == self.echo
            events = selectors.EVENT_WRITE | (0 if writes_only else events)
        self.selector.modify(connection.socket, events, connection)


port = int(sys.argv[sys.argv.index("--port") + 1])
Server(port, "--echo" in sys.argv).run()
