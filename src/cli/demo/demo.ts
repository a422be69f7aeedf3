/** `manifold demo`: three gRPC servers of our own and Manifold in front of them, to try it with nothing else at hand. */
import { defaultAddress } from "../../config/build.ts";
import { DemoService } from "../../gen/manifold/demo/v1/demo_pb.ts";
import type { ServeCommand } from "../args.ts";
import { outputOf, partsOfEndpoints, type Running, runServe, serveUntilStopped, start } from "../serve.ts";
import { stopSignals } from "../signals.ts";
import { startDemoEndpoint } from "./endpoint.ts";

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
  const { config, pem } = partsOfEndpoints(endpoints.map(({ name, url }) => ({ name, url })));
  const output = outputOf(command, config);
  const running = await startSomewhere(command.listen, (addresses) => {
    const listeners = addresses.map((address) => ({ address }));
    return start({ config: { ...config, listeners }, pem }, output);
  });
  for (const { name, url } of endpoints) output.announce(`  in front of ${name} on ${url}`);
  for (const line of invitation(running)) output.announce(line);
  const code = await serveUntilStopped(running, stop, output);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  return code;
}

/** Where nobody asked for a port and the usual one is taken, any other does. */
async function startSomewhere(listen: readonly string[], startAt: (listen: readonly string[]) => Promise<Running>) {
  if (listen.length > 0) return startAt(listen);
  try {
    return await startAt([defaultAddress]);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    return startAt(["127.0.0.1:0"]);
  }
}

/** Lines to copy. The demo servers have reflection, so no client needs the schema. */
function invitation({ server }: Running): string[] {
  const { address, port } = server.addresses[0]!;
  const target = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  return [
    "try it from another terminal:",
    `  grpcurl -plaintext -d '{"name": "Ada"}' ${target} ${DemoService.typeName}/Greet`,
    `  grpcurl -plaintext -d '{"from": 5, "interval_ms": 300}' ${target} ${DemoService.typeName}/CountDown`,
    `  npx @bufbuild/buf curl --protocol grpc -d '{"name": "Ada"}' http://${target}/${DemoService.typeName}/Greet`,
  ];
}
