/** What connectconformance is asked for: which cases, in front of which server, and how Manifold speaks to that. */

/** A matrix of cases: `features` of connectconformance's configuration. */
export interface Features {
  readonly versions: readonly string[];
  readonly protocols: readonly string[];
  readonly codecs: readonly string[];
  readonly compressions: readonly string[];
  readonly [feature: string]: boolean | readonly string[];
}

export interface Suite {
  readonly name: string;
  readonly features: Features;
  /** The program behind Manifold. */
  readonly server: "referenceserver" | "grpcserver";
  /** Manifold's upstream, but for its endpoints. */
  readonly upstream: {
    readonly protocols: readonly string[];
    readonly http?: "1.1";
    readonly codecs?: readonly string[];
    readonly limits?: object;
  };
  /** JSON is translated, with the descriptors of the suite's own service. */
  readonly schema?: true;
  readonly cases: number;
  /** A file in exceptions/ with patterns of cases that fail, each with the reason, and how many these are. Without it none may fail. */
  readonly exceptions?: readonly [file: string, cases: number];
  /** Left out on Bun and Deno where a selection is asked for, for this reason. */
  readonly onNodeAlone?: string;
}

const everything: Features = {
  versions: ["HTTP_VERSION_1", "HTTP_VERSION_2"],
  protocols: ["PROTOCOL_CONNECT", "PROTOCOL_GRPC", "PROTOCOL_GRPC_WEB"],
  codecs: ["CODEC_PROTO", "CODEC_JSON"],
  compressions: [
    "COMPRESSION_IDENTITY",
    "COMPRESSION_GZIP",
    "COMPRESSION_BR",
    "COMPRESSION_ZSTD",
    "COMPRESSION_DEFLATE",
    "COMPRESSION_SNAPPY",
  ],
  supports_h2c: true,
  supports_tls: true,
  supports_tls_client_certs: true,
  supports_half_duplex_bidi_over_http1: true,
  supports_connect_get: true,
  supports_message_receive_limit: true,
};

/** TLS is nothing to a bridge. */
const bridged: Features = { ...everything, supports_tls: false, supports_tls_client_certs: false };

/** What grpc-go's server has. */
const ofGrpcGo = { compressions: ["COMPRESSION_IDENTITY", "COMPRESSION_GZIP"] };

/** What an upstream over HTTP/1.1 carries. The other kind of stream has suites of its own, in which most cases can't pass. */
const halfDuplex: Features = {
  ...bridged,
  stream_types: [
    "STREAM_TYPE_UNARY",
    "STREAM_TYPE_CLIENT_STREAM",
    "STREAM_TYPE_SERVER_STREAM",
    "STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM",
  ],
};
const fullDuplex: Features = { ...bridged, stream_types: ["STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM"] };

/** No call of the suite pauses for so long, and calls that stand still end. */
const limits = { stream_idle_timeout: "1s" };

const codecs = ["proto", "json"];

const likeH1 = "gRPC-Web is held to the same over HTTP/2, and HTTP/1.1 with Connect";
const likeH2 = "Connect is held to the same over HTTP/1.1, and HTTP/2 with gRPC-Web";
const waits = "it waits most of its time, and the runtimes' own suite has what can differ";

export const suites: readonly Suite[] = [
  {
    name: "verbatim",
    features: everything,
    server: "referenceserver",
    upstream: { protocols: ["grpc", "grpc_web", "connect"] },
    cases: 10_756,
  },
  {
    name: "bridged to grpc-go",
    features: { ...bridged, ...ofGrpcGo, codecs: ["CODEC_PROTO"] },
    server: "grpcserver",
    upstream: { protocols: ["grpc"] },
    // 1,046, and the 136 of "Server Message Size" that the limit for messages received adds
    cases: 1_182,
    exceptions: ["grpc-go.txt", 22],
  },
  {
    name: "bridged to grpc-go, JSON in front",
    features: { ...bridged, ...ofGrpcGo, codecs: ["CODEC_JSON"] },
    server: "grpcserver",
    upstream: { protocols: ["grpc"] },
    schema: true,
    cases: 808,
    exceptions: ["grpc-go-json.txt", 2],
  },
  {
    name: "bridged to gRPC-Web over HTTP/2",
    features: bridged,
    server: "referenceserver",
    upstream: { protocols: ["grpc_web"], codecs },
    cases: 5_438,
    exceptions: ["to-grpc-web.txt", 4],
  },
  {
    name: "bridged to gRPC-Web over HTTP/1.1",
    features: halfDuplex,
    server: "referenceserver",
    upstream: { protocols: ["grpc_web"], http: "1.1", codecs },
    cases: 5_082,
    exceptions: ["to-grpc-web.txt", 4],
    onNodeAlone: likeH1,
  },
  {
    name: "bridged to gRPC-Web over HTTP/1.1, full duplex",
    features: fullDuplex,
    server: "referenceserver",
    upstream: { protocols: ["grpc_web"], http: "1.1", codecs, limits },
    cases: 356,
    exceptions: ["full-duplex-http1.txt", 318],
    onNodeAlone: waits,
  },
  {
    name: "bridged to Connect over HTTP/2",
    features: bridged,
    server: "referenceserver",
    upstream: { protocols: ["connect"], codecs },
    cases: 5_438,
    exceptions: ["to-connect.txt", 3],
    onNodeAlone: likeH2,
  },
  {
    name: "bridged to Connect over HTTP/1.1",
    features: halfDuplex,
    server: "referenceserver",
    upstream: { protocols: ["connect"], http: "1.1", codecs },
    cases: 5_082,
    exceptions: ["to-connect.txt", 3],
  },
  {
    name: "bridged to Connect over HTTP/1.1, full duplex",
    features: fullDuplex,
    server: "referenceserver",
    upstream: { protocols: ["connect"], http: "1.1", codecs, limits },
    cases: 356,
    exceptions: ["full-duplex-http1.txt", 318],
    onNodeAlone: waits,
  },
];
