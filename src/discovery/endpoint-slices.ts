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
 * they are being ended, as kube-proxy does. Of a service with IPv4 and IPv6 each pod counts once, by IPv4. Pods without the port,
 * which are in slices of their own, are none of them.
 *
 * @throws Error if there are pods, but none with such a port
 */
export function endpointsOf(slices: Iterable<EndpointSlice>, options: SliceOptions): EndpointOptions[] {
  const all = [...slices].filter(({ endpoints }) => (endpoints?.length ?? 0) > 0);
  const ipv4 = all.filter(({ addressType }) => addressType === "IPv4");
  const found = membersOf(ipv4.length > 0 ? ipv4 : all, options);
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

function membersOf(slices: readonly EndpointSlice[], { port: wanted, secure }: SliceOptions): Member[] {
  const scheme = secure ? "https" : "http";
  const ports = slices.map((slice) => portOf(slice, wanted));
  if (slices.length > 0 && ports.every((port) => port === undefined)) throw noPort(slices[0]!, wanted);
  return slices.flatMap(({ endpoints }, at) => {
    const port = ports[at];
    return (endpoints ?? []).flatMap((endpoint) => {
      const [address] = endpoint.addresses;
      if (address === undefined || port === undefined) return [];
      return [{ url: `${scheme}://${hostPort(address, port)}`, endpoint }];
    });
  });
}

/** Undefined where pods have no such port. */
function portOf(slice: EndpointSlice, wanted: SliceOptions["port"]): number | undefined {
  const open = openPorts(slice);
  const found =
    wanted === undefined
      ? open.length === 1
        ? open[0]
        : undefined
      : open.find(({ name, port }) => (typeof wanted === "number" ? port === wanted : name === wanted));
  if (found?.port != null) return found.port;
  // no list of ports, or a port without a number, stands for every one
  if (typeof wanted === "number" && (open.length === 0 || open.some(({ port }) => port == null))) return wanted;
  return undefined;
}

function openPorts({ ports }: EndpointSlice): readonly SlicePort[] {
  return (ports ?? []).filter(({ protocol }) => (protocol ?? "TCP") === "TCP");
}

function noPort(slice: EndpointSlice, wanted: SliceOptions["port"]): Error {
  const those = openPorts(slice).map(({ name, port }) => `${name ? `${name}=` : ""}${port}`);
  const what = wanted === undefined ? "more or less than one port" : `no port ${wanted}`;
  return new Error(`${what} in endpoint slice ${slice.metadata.name}, where pods have: ${those.join(", ") || "none"}`);
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
