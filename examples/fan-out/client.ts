// A client of the fan-out: asks all nodes for their version, at once and as they answer, and follows all their logs.
//   bun examples/fan-out/client.ts http://127.0.0.1:8080
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { legOf } from "rpc-manifold/fan-out-client";
import { byBackend, type GetVersionFanOut, NodeServiceFanOut } from "./gen/acme/node/v1/node_fanout_pb.ts";

const [baseUrl = "http://127.0.0.1:8080"] = process.argv.slice(2);
const nodes = createClient(NodeServiceFanOut, createGrpcTransport({ baseUrl, defaultTimeoutMs: 10_000 }));

function tellVersions(what: string, reply: GetVersionFanOut): void {
  for (const [backend, answer] of byBackend(reply)) {
    console.log(what, `${backend}:`, answer instanceof ConnectError ? answer.message : answer.version);
  }
}

tellVersions("version", await nodes.getVersion({}));

for await (const reply of nodes.getVersionProgressive({})) tellVersions("version as it came", reply);

for await (const message of nodes.followLog({ lines: 2 })) {
  const { backend, reply, error } = legOf(message);
  console.log("log", `${backend}:`, error?.message ?? reply?.line);
}
