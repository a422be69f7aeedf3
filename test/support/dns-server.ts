/** A small DNS server on loopback: answers what the test says, over UDP. */
import { createSocket } from "node:dgram";
import { type Answer, decode, encode, type Question } from "dns-packet";

export interface DnsServer {
  /** "127.0.0.1:5353": what `dns.servers` takes. */
  readonly address: string;
  /** Questions by "A name" and the like; those not here are NXDOMAIN, and an empty list is no data. */
  readonly records: Map<string, readonly Answer[]>;
  /** Every question that came, in order. */
  readonly questions: string[];
  /** Answers nothing at all. */
  silent: boolean;
  close(): Promise<void>;
}

const nxdomain = 3;

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const server = { records: new Map<string, readonly Answer[]>(), questions: [] as string[], silent: false };
  socket.on("message", (message, { address, port }) => {
    const { id, questions = [] } = decode(message);
    const [question] = questions;
    if (question === undefined || server.silent) return;
    server.questions.push(keyOf(question));
    const answers = server.records.get(keyOf(question));
    const known = [...server.records.keys()].some((key) => key.split(" ")[1] === question.name.toLowerCase());
    // answers authoritatively, and says that it recurses
    const flags = 0x0580 | (answers === undefined && !known ? nxdomain : 0);
    const reply = encode({ type: "response", id: id!, flags, questions, answers: [...(answers ?? [])] });
    socket.send(reply, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return Object.assign(server, {
    address: `127.0.0.1:${socket.address().port}`,
    close: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  });
}

function keyOf({ type, name }: Question): string {
  return `${type} ${name.toLowerCase()}`;
}

/** Sets the IPv4 addresses of a name; none: it isn't there. */
export function setAddresses(server: DnsServer, name: string, addresses: readonly string[], ttl = 1): void {
  const key = `A ${name}`;
  if (addresses.length === 0) server.records.delete(key);
  else
    server.records.set(
      key,
      addresses.map((data) => ({ type: "A", name, ttl, data })),
    );
}
