/** Endpoint slices: what Kubernetes says of a service's pods (discovery.k8s.io/v1), as endpoints. Pure. */
import { type EndpointOptions, hostPort, isAddress } from "../upstream/target.ts";

/** What is read of an EndpointSlice; all else is left alone. Kubernetes leaves out what is empty. */
export interface EndpointSlice {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
  readonly addressType?: string;
  readonly endpoints?: readonly SliceEndpoint[] | null;
  readonly ports?: readonly SlicePort[] | null;
}

export interface SliceEndpoint {
  /** They all lead to the same; the API says that only the first is to be used. */
  readonly addresses: readonly string[];
  readonly conditions?: {
    /** Unknown counts as true. */
    readonly ready?: boolean | null;
    /** As `ready`, but said of pods that are being ended, too. */
    readonly serving?: boolean | null;
    readonly terminating?: boolean | null;
  };
  readonly nodeName?: string | null;
  readonly zone?: string | null;
  readonly targetRef?: { readonly kind?: string; readonly name?: string } | null;
}

export interface SlicePort {
  readonly name?: string | null;
  /** Of the pod, not of the service. Missing: every port. */
  readonly port?: number | null;
  readonly protocol?: string | null;
}

export interface SliceOptions {
  /** A port's name, or its number at the pods. Undefined: the only one. */
  readonly port: string | number | undefined;
  /** Pods speak TLS. */
  readonly secure: boolean;
}

/**
 * The endpoints of a service's slices, sorted by address: those that are ready; where none is, those that still serve while
 * they are being ended, as kube-proxy does. Of a service with IPv4 and IPv6 each pod counts once, by IPv4.
 *
 * @throws Error if there are pods, but not such a port
 */
export function endpointsOf(slices: Iterable<EndpointSlice>, options: SliceOptions): EndpointOptions[] {
  const all = [...slices].filter(({ endpoints }) => (endpoints?.length ?? 0) > 0);
  const ipv4 = all.filter(({ addressType }) => addressType === "IPv4");
  const found = (ipv4.length > 0 ? ipv4 : all).flatMap((slice) => membersOf(slice, options));
  const ready = found.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  const serving = found.filter(({ endpoint }) => endpoint.conditions?.serving === true);
  const byUrl = new Map((ready.length > 0 ? ready : serving).map((one) => [one.url, one]));
  return [...byUrl.values()]
    .sort((a, b) => (a.url < b.url ? -1 : 1))
    .map(({ url, endpoint }) => optionsOf(url, endpoint));
}

interface Member {
  readonly url: string;
  readonly endpoint: SliceEndpoint;
}

function membersOf(slice: EndpointSlice, options: SliceOptions): Member[] {
  const port = portOf(slice, options.port);
  const scheme = options.secure ? "https" : "http";
  return (slice.endpoints ?? []).flatMap((endpoint) => {
    const [address] = endpoint.addresses;
    return address === undefined ? [] : [{ url: `${scheme}://${hostPort(address, port)}`, endpoint }];
  });
}

function portOf({ metadata, ports }: EndpointSlice, wanted: SliceOptions["port"]): number {
  const open = (ports ?? []).filter(({ protocol }) => (protocol ?? "TCP") === "TCP");
  const found =
    wanted === undefined
      ? open.length === 1
        ? open[0]
        : undefined
      : open.find(({ name, port }) => (typeof wanted === "number" ? port === wanted : name === wanted));
  if (found?.port != null) return found.port;
  // no list of ports, or a port without a number, stands for every one
  if (typeof wanted === "number" && (open.length === 0 || open.some(({ port }) => port == null))) return wanted;
  const those = open.map(({ name, port }) => `${name ? `${name}=` : ""}${port}`).join(", ") || "none";
  const what = wanted === undefined ? "more or less than one port" : `no port ${wanted}`;
  throw new Error(`${what} in endpoint slice ${metadata.name}, where pods have: ${those}`);
}

function optionsOf(url: string, { addresses, targetRef, zone, nodeName }: SliceEndpoint): EndpointOptions {
  const labels = { ...(zone ? { zone } : {}), ...(nodeName ? { node: nodeName } : {}) };
  const name = targetRef?.name;
  return {
    url,
    ...(name === undefined ? {} : { name }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(isAddress(addresses[0]!) ? {} : { serverName: addresses[0]! }),
  };
}
