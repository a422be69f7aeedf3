/** Who tells an upstream of its endpoints, as the file says: itself, another file, or Kubernetes. */
import { resolve } from "node:path";
import { kubernetesEndpoints } from "../discovery/kubernetes.ts";
import type { Discovery } from "../upstream/endpoint-source.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import type { EndpointList } from "./check-endpoints.ts";
import { endpointFile } from "./endpoint-file.ts";
import { given } from "./given.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

export interface EndpointContext {
  /** Of the configuration: paths in it are relative to it. Default: the one that the process runs in. */
  readonly folder?: string | undefined;
  /** The upstream's name. */
  readonly upstream: string;
  readonly optionsOf: (endpoint: EndpointList[number]) => EndpointOptions;
}

export function endpointsOf(config: UpstreamConfig, context: EndpointContext): readonly EndpointOptions[] | Discovery {
  const { endpoints, tls } = config;
  const { folder = "", upstream, optionsOf } = context;
  if (Array.isArray(endpoints)) return endpoints.map(optionsOf);
  const secure = tls !== undefined;
  if (endpoints.file !== undefined) {
    const rules = { secure, who: `upstream "${upstream}"` };
    return endpointFile(resolve(folder, endpoints.file), { name: endpoints.file, rules, optionsOf });
  }
  const { token, ca, ...options } = endpoints.kubernetes!;
  const at = (path: string | undefined) => path && resolve(folder, path);
  return kubernetesEndpoints({
    ...given(options),
    service: options.service,
    secure,
    ...given({ token: at(token), ca: at(ca) }),
  });
}
