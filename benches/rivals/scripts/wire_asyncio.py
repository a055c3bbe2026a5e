"""Echo and broadcast on asyncio: `python3 wire_asyncio.py --echo|--broadcast --port N`.

Protocols, the fastest that the standard library has: streams cost more for each message. Prints the
port, which it chooses if N is 0.
"""

import asyncio
import resource
import sys

# A receiver that has more than this unsent misses what comes meanwhile.
UNSENT_BYTES_MAX = 64 * 1024
# A line may be this long; who sends a longer one is closed.
LINE_BYTES_MAX = 64 * 1024


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    # A client that does not read is not read.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Broadcast(asyncio.Protocol):
    room = set()

    def connection_made(self, transport):
        self.transport = transport
        self.held = b""
        self.room.add(transport)

    def connection_lost(self, _error):
        self.room.discard(self.transport)

    def data_received(self, data):
        data = self.held + data
        whole = data.rfind(b"\n") + 1
        self.held = data[whole:]
        if len(self.held) > LINE_BYTES_MAX:
            self.transport.abort()
        if whole == 0:
            return
        lines = data[:whole]
        for other in self.room:
            if other is not self.transport and other.get_write_buffer_size() <= UNSENT_BYTES_MAX:
                other.write(lines)


async def serve(protocol, port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = int(sys.argv[sys.argv.index("--port") + 1])
    asyncio.run(serve(Echo if "--echo" in sys.argv else Broadcast, port))


main()
