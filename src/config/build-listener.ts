/** From a listener's part of the configuration to its options. */
import type { CorsOptions } from "../serve/cors.ts";
import type { ListenerOptions, ListenerTls } from "../serve/listener.ts";
import { admissionOptions, type KeySets } from "./admission.ts";
import { given } from "./given.ts";
import { http1Settings, http2Settings } from "./limits.ts";
import type { Listener } from "./listener-schema.ts";
import { messageLimits } from "./traffic.ts";

/** Texts of PEM files, by their paths. */
type Pem = ReadonlyMap<string, string>;

export function listenerOptions(listener: Listener, pem: Pem, keySets: KeySets | undefined): ListenerOptions {
  const { address, tls, cors, limits } = listener;
  return {
    ...admissionOptions(listener, keySets),
    address,
    http1: http1Settings(limits),
    http2: http2Settings(limits),
    ...messageLimits(limits),
    ...given({
      maxConnections: limits?.connections,
      tls: tls && listenerTls(tls, pem),
      cors: cors && corsOptions(cors),
    }),
  };
}

function listenerTls(tls: NonNullable<Listener["tls"]>, pem: Pem): ListenerTls {
  const [cert, key] = [pem.get(tls.cert)!, pem.get(tls.key)!];
  return { cert, key, ...given({ clientCa: tls.client_ca && pem.get(tls.client_ca) }) };
}

function corsOptions({ origins, ...cors }: NonNullable<Listener["cors"]>): CorsOptions {
  const { allow_headers: allowHeaders, expose_headers: exposeHeaders, credentials, max_age: maxAgeMs } = cors;
  const maxAge = maxAgeMs === undefined ? undefined : maxAgeMs / 1_000;
  return { origins, ...given({ allowHeaders, exposeHeaders, credentials, maxAge }) };
}
