/** `manifold demo`: three gRPC servers of our own, Manifold in front of them and a page that calls them, to try it with nothing else at hand. */
import { defaultAddress } from "../../config/build.ts";
import type { RouteConfig } from "../../config/route-schema.ts";
import { DemoService } from "../../gen/manifold/demo/v1/demo_pb.ts";
import { StatsServiceFanOut } from "../../gen/manifold/demo/v1/stats_fanout_pb.ts";
import { fanOutOf } from "../../schema/fan-outs.ts";
import type { ServeCommand } from "../args.ts";
import type { Carrier } from "../carrier.ts";
import { partsOfEndpoints, withListeners } from "../configuration.ts";
import { announceAddresses } from "../output.ts";
import { runServe, serveUntilStopped } from "../serve.ts";
import { stopSignals } from "../signals.ts";
import { outputOf, start } from "../start.ts";
import { startDemoEndpoint } from "./endpoint.ts";
import { demoPage } from "./page.ts";

const names = ["demo-1", "demo-2", "demo-3"];

/**
 * Runs until it is stopped. With URLs given, those servers take the place of ours.
 *
 * @returns the exit code
 */
export async function runDemo(command: ServeCommand): Promise<number> {
  if (command.to.length > 0) return runServe(command);
  const stop = stopSignals();
  const endpoints = await Promise.all(names.map(startDemoEndpoint));
  const toOne = partsOfEndpoints(
    endpoints.map(({ name, url }) => ({ name, url })),
    { protocols: ["grpc"], schema: "reflection" },
  );
  const parts = { ...toOne, config: { ...toOne.config, routes: [...fanOutRoutes(), ...(toOne.config.routes ?? [])] } };
  const output = outputOf(command, parts.config);
  const page = demoPage();
  const running = await startSomewhere(command.listen, (listen) => {
    return start({ ...parts, config: withListeners(parts.config, { ...command, listen }) }, output, page);
  });
  announceAddresses(running.addresses, output);
  for (const { name, url } of endpoints) output.announce(`  in front of ${name} on ${url}`);
  for (const line of invitation(running)) output.announce(line);
  const code = await serveUntilStopped(running, stop, output);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  return code;
}

/** What protoc-gen-manifold writes as `routes`: calls of the generated service go to all three. */
function fanOutRoutes(): RouteConfig[] {
  return StatsServiceFanOut.methods.map(fanOutOf).map(({ match, method, kind, layout, progressive }) => {
    return { match: { method: match }, fan_out: { to: ["default"], method, kind, layout, progressive } };
  });
}

/** Where nobody asked for a port and the usual one is taken, any other does. */
async function startSomewhere(listen: readonly string[], startAt: (listen: readonly string[]) => Promise<Carrier>) {
  if (listen.length > 0) return startAt(listen);
  try {
    return await startAt([defaultAddress]);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    return startAt(["127.0.0.1:0"]);
  }
}

/** Lines to copy. The demo servers have reflection, so no client needs the schema. */
function invitation({ addresses }: Carrier): string[] {
  const { address, port } = addresses[0]!;
  const target = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const service = DemoService.typeName;
  const all = StatsServiceFanOut.typeName;
  return [
    `try it in a browser: http://${target}/`,
    "or from another terminal:",
    `  curl -d '{"name": "Ada"}' -H 'content-type: application/json' http://${target}/${service}/Greet`,
    `  grpcurl -plaintext -d '{"from": 5, "interval_ms": 300}' ${target} ${service}/CountDown`,
    `  npx @bufbuild/buf curl --protocol grpc -d '{"name": "Ada"}' http://${target}/${service}/Greet`,
    "all three at once, of which one fails:",
    `  curl -d '{"fail": "demo-2"}' -H 'content-type: application/json' http://${target}/${all}/GetStats`,
    `  npx @bufbuild/buf curl --protocol grpc -d '{"fail": "demo-2", "delay_ms": 500}' http://${target}/${all}/GetStatsProgressive`,
  ];
}
