// The two messages between connectconformance and a server under test, each after its length in four bytes. Only the
// fields that are needed are read; a field that is changed is written after the request's own bytes, where it replaces
// the first (protobuf: the last one counts).
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

// ServerCompatRequest, and its enums Protocol and HTTPVersion
const protocol = 1;
const httpVersion = 2;
const useTls = 4;
const clientTlsCert = 5;
const serverCreds = 7;
const protocols = { connect: 1, grpc: 2, grpc_web: 3 };
const httpVersions = { 1.1: 1, 2: 2 };

/** @param {Uint8Array} bytes a ServerCompatRequest */
export function readRequest(bytes) {
  const request = { useTls: false, clientTlsCert: "", cert: "", key: "" };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === useTls) request.useTls = reader.bool();
    else if (field === clientTlsCert) request.clientTlsCert = text(reader.bytes());
    else if (field === serverCreds) Object.assign(request, readCreds(reader.bytes()));
    else reader.skip(type, field);
  }
  return request;
}

/**
 * The same request for the server behind Manifold, which is spoken to in another protocol and HTTP version perhaps.
 *
 * @param {{ protocol: "grpc" | "grpc_web" | "connect", http: "1.1" | "2", clientAuthority?: string }} change the authority for
 * client certificates in PEM: undefined leaves it
 */
export function forBackend(bytes, change) {
  const writer = new BinaryWriter();
  writer.tag(protocol, WireType.Varint).int32(protocols[change.protocol]);
  writer.tag(httpVersion, WireType.Varint).int32(httpVersions[change.http]);
  if (change.clientAuthority !== undefined) {
    writer.tag(clientTlsCert, WireType.LengthDelimited).bytes(Buffer.from(change.clientAuthority));
  }
  return Buffer.concat([bytes, writer.finish()]);
}

/** @param {Uint8Array} bytes a ServerCompatResponse @returns its port */
export function readPort(bytes) {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 2) return reader.uint32();
    reader.skip(type, field);
  }
  throw new Error("no port in ServerCompatResponse");
}

/** A ServerCompatResponse. */
export function writeResponse(port, cert) {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string("127.0.0.1");
  writer.tag(2, WireType.Varint).uint32(port);
  if (cert !== "") writer.tag(3, WireType.LengthDelimited).bytes(Buffer.from(cert));
  return writer.finish();
}

/** A message after its length. */
export function delimited(bytes) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Reads one such message of a stream. */
export async function readDelimited(stream) {
  let bytes = Buffer.alloc(0);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0))
      return bytes.subarray(4, 4 + bytes.readUInt32BE(0));
  }
  throw new Error("the stream ended before its message was whole");
}

/** TLSCreds: certificate and key, both PEM. */
function readCreds(bytes) {
  const creds = { cert: "", key: "" };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) creds.cert = text(reader.bytes());
    else if (field === 2) creds.key = text(reader.bytes());
    else reader.skip(type, field);
  }
  return creds;
}

function text(bytes) {
  return Buffer.from(bytes).toString();
}
