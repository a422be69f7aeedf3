// The director of Talos' apid: every node runs this in front of its own server, and knows the others. Run it with:
//   node examples/talos-director.js 127.0.0.1:8080 http://127.0.0.1:50051 a=http://10.0.0.1:8080 b=http://10.0.0.2:8080
// Metadata says who is asked: "nodes: a,b" all of these, with one reply; "node: a" this one; without either the node's own server.
import { Code, ConnectError } from "@connectrpc/connect";
import { createProxy, createUpstream, serve, talosMerge } from "rpc-manifold";

const [address, localUrl, ...others] = process.argv.slice(2);
const local = createUpstream({ name: "local", endpoints: [localUrl] });
const nodes = createUpstream({
  name: "nodes",
  endpoints: others.map((other) => {
    const [name, url] = other.split("=");
    return { name, url };
  }),
});

/** Methods whose replies are streams: all others have one reply, which is merged. */
const streamed = new Set([
  ...["Copy", "DiskUsage", "Dmesg", "EtcdSnapshot", "Events", "Kubeconfig", "List", "Logs", "Read"].map(
    (method) => `machine.MachineService/${method}`,
  ),
  "cluster.ClusterService/HealthCheck",
]);

/** @returns {import("rpc-manifold").FanOutKind} */
function kindOf({ service, method }) {
  return streamed.has(`${service}/${method}`) || method.endsWith("Stream") ? "stream" : "unary";
}

/** @param {string} name */
function endpointOf(name) {
  const endpoint = nodes.endpoints.find((each) => each.name === name);
  if (endpoint === undefined) throw new ConnectError(`unknown node "${name}"`, Code.InvalidArgument);
  return endpoint;
}

/** @type {import("rpc-manifold").Director} */
function director(call) {
  // another node has sent it here: it isn't sent on
  if (call.header("proxyfrom") !== undefined) return { mode: "one-to-one", upstream: local };
  const node = call.headerValues("node");
  const many = call.headerValues("nodes");
  if (node.length > 1) throw new ConnectError("node metadata must be single-valued", Code.InvalidArgument);
  const rewrite = {
    removeHeaders: ["node", "nodes"],
    addHeaders: [["proxyfrom", call.authority || "unknown"]],
  };
  if (many.length > 0) {
    const names = many.flatMap((value) => value.split(",")).map((name) => name.trim());
    return {
      mode: "one-to-many",
      endpoints: names.map(endpointOf),
      layout: talosMerge, // each element with the name of its node, each failure as an element
      kind: kindOf(call),
      rewrite,
    };
  }
  if (node[0] !== undefined) return { mode: "one-to-one", upstream: nodes, endpoint: endpointOf(node[0]), rewrite };
  return { mode: "one-to-one", upstream: local };
}

const server = await serve(createProxy({ director }), { listen: [address] });
console.log(`listening on ${server.addresses[0]?.address}:${server.addresses[0]?.port}`);

process.once("SIGTERM", async () => {
  await server.close();
  for (const upstream of [local, nodes]) upstream.close();
});
