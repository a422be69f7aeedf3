// An upstream in a process of its own, so that it can be killed or stopped. Prints its port. Every call gets headers, and
// a message a second, without an end; the header x-port says who answered. With "deaf" it is a listener with a short queue and nothing else; with "answers" every
// call is a unary one that is answered at once.
import http2 from "node:http2";
import net from "node:net";

const server = process.argv[2] === "deaf" ? net.createServer() : http2.createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {});
  if (process.argv[2] === "answers") return answer(stream);
  stream.respond({ ":status": 200, "content-type": "application/grpc", "x-port": server.address().port });
  stream.write(Buffer.from([0, 0, 0, 0, 1, 7]));
  const timer = setInterval(() => stream.write(Buffer.from([0, 0, 0, 0, 1, 7])), 1_000);
  stream.on("close", () => clearInterval(timer));
});
server.listen({ port: 0, host: "127.0.0.1", backlog: process.argv[2] === "deaf" ? 1 : 511 }, () =>
  console.log(server.address().port),
);

function answer(stream) {
  stream.on("data", () => {});
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.from([0, 0, 0, 0, 1, 7]));
  });
}
