/** Admin: what those who run Manifold can ask for, at the port that the configuration says. */
import { randomBytes } from "node:crypto";
import process from "node:process";
import { masked } from "../config/admin.ts";
import { defaultAdminAddress } from "../config/admin-schema.ts";
import { addUp, contentType, exposition, type Family } from "../observe/exposition.ts";
import { type AdminHandlers, type AdminPort, json, openAdminPort, text } from "../serve/admin-port.ts";
import type { Carrier } from "./carrier.ts";
import type { Configuration, ConfigurationSource } from "./configuration.ts";
import type { Output } from "./output.ts";
import { packageVersion } from "./package.ts";
import type { Reloader } from "./reloader.ts";
import { removeRuntimeFile, writeRuntimeFile } from "./runtime-file.ts";
import type { StopSignals } from "./signals.ts";

export interface AdminOptions {
  readonly source: ConfigurationSource;
  readonly carrier: Carrier;
  readonly output: Output;
  readonly stop: StopSignals;
  readonly reloader: () => Reloader;
}

/** Either is to be called, once. */
export interface PreparedAdmin {
  apply(): void;
  discard(): void;
}

export class Admin {
  readonly #options: AdminOptions;
  /** For where the configuration gives none. */
  readonly #ownToken = randomBytes(24).toString("base64url");
  #port: AdminPort | undefined;
  #address: string | undefined;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /** Opens the port of a configuration, if it has one that isn't open. Rejects with the system's error; then all is as before. */
  async prepare({ config, adminToken }: Configuration): Promise<PreparedAdmin> {
    const address = config.admin && (config.admin.address ?? defaultAdminAddress);
    const token = adminToken ?? this.#ownToken;
    const before = this.#port;
    if (address === this.#address) return { apply: () => this.#use(before, token), discard() {} };
    const opened = address === undefined ? undefined : await this.#open(address, token);
    return {
      apply: () => {
        before?.close();
        this.#address = address;
        this.#use(opened, token);
        if (opened === undefined) return;
        const { address: host, port } = opened.bound;
        this.#options.output.announce(`admin on ${host.includes(":") ? `[${host}]` : host}:${port}`, {
          address: host,
          port,
        });
      },
      discard: () => opened?.close(),
    };
  }

  close(): void {
    const { file } = this.#options.source;
    if (this.#port !== undefined && file !== undefined) removeRuntimeFile(file);
    this.#port?.close();
    this.#port = undefined;
  }

  #open(address: string, token: string): Promise<AdminPort> {
    return openAdminPort({ address, handlers: this.#handlers(), log: this.#options.output.log }, token);
  }

  /** Tells `manifold reload` where to ask. It isn't worth the proxy's life if that can't be written. */
  #use(port: AdminPort | undefined, token: string): void {
    const { source, output } = this.#options;
    this.#port = port;
    if (source.file === undefined) return;
    if (port === undefined) return removeRuntimeFile(source.file);
    port.token = token;
    const { address, port: number } = port.bound;
    try {
      writeRuntimeFile(source.file, { pid: process.pid, address, port: number, token });
    } catch (error) {
      output.log.warn({ error: (error as Error).message }, "manifold reload won't find this process");
    }
  }

  #handlers(): AdminHandlers {
    const { carrier, reloader, source, stop } = this.#options;
    return {
      "GET /metrics": async () => {
        const families = [...(await carrier.families()), ...reloader().families(), info()];
        return { status: 200, contentType, body: exposition(addUp([families])) };
      },
      "GET /config": () => json(200, { file: source.file ?? null, config: masked(reloader().current.given) }),
      "GET /upstreams": async () => json(200, { upstreams: await carrier.upstreams() }),
      "POST /reload": async () => {
        const outcome = await reloader().reload("admin");
        return outcome.ok ? json(200, { changes: outcome.changes }) : json(422, { report: outcome.report });
      },
      "POST /restart": async () => {
        if (carrier.restart === undefined) return text(409, "409: there are no workers to restart\n");
        await carrier.restart();
        return json(200, {});
      },
      "POST /drain": () => {
        stop.ask("POST /drain");
        return json(202, {});
      },
      "POST /endpoints/*": async ([upstream = "", endpoint = "", verb = "", ...more]) => {
        if ((verb !== "enable" && verb !== "disable") || more.length > 0) {
          return text(404, "404: POST /endpoints/UPSTREAM/ENDPOINT/enable, or disable\n");
        }
        const found = await carrier.enable(upstream, endpoint, verb === "enable");
        return found ? json(200, {}) : text(404, `404: no endpoint "${endpoint}" of upstream "${upstream}"\n`);
      },
    };
  }
}

function info(): Family {
  const labels = { version: packageVersion() };
  return { name: "manifold_info", type: "gauge", help: "What is running.", samples: [{ labels, value: 1 }] };
}
