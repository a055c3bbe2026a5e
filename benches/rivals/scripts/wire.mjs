// Echo and broadcast on Node's standard library: `node wire.mjs --echo|--broadcast --port N`.
// `--http` answers every request with five bytes, as the other servers of the comparison do. Prints
// the port, which it chooses if N is 0.
import http from "node:http";
import net from "node:net";

// A receiver that has more than this unsent misses what comes meanwhile.
const UNSENT_BYTES_MAX = 64 * 1024;
// A line may be this long; who sends a longer one is closed.
const LINE_BYTES_MAX = 64 * 1024;
const LF = 10;

function echo(socket) {
  // `pipe` stops reading while the other side does not.
  socket.pipe(socket);
}

const room = new Set();

function broadcast(socket) {
  let held = null;
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("data", (arrived) => {
    const input = held === null ? arrived : Buffer.concat([held, arrived]);
    const whole = input.lastIndexOf(LF) + 1;
    held = whole === input.length ? null : input.subarray(whole);
    if (held !== null && held.length > LINE_BYTES_MAX) {
      socket.destroy();
    }
    if (whole === 0) {
      return;
    }
    const lines = input.subarray(0, whole);
    for (const other of room) {
      if (other !== socket && other.writableLength <= UNSENT_BYTES_MAX) {
        other.write(lines);
      }
    }
  });
}

function answer(_request, response) {
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 5 });
  response.end("Vrypt");
}

function serve(words) {
  if (words.includes("--http")) {
    // No limit of time during a run, as for the others.
    return http.createServer({ keepAliveTimeout: 3_600_000 }, answer);
  }
  const service = words.includes("--echo") ? echo : broadcast;
  return net.createServer({ noDelay: true }, (socket) => {
    // A peer that resets its connection is no reason to end.
    socket.on("error", () => socket.destroy());
    service(socket);
  });
}

const words = process.argv.slice(2);
const port = Number(words[words.indexOf("--port") + 1]);
const server = serve(words);
server.listen({ port, host: "127.0.0.1", backlog: 1024 }, () => {
  console.log(server.address().port);
});
