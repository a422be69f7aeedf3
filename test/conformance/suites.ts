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
  };
  /** JSON is translated, with the descriptors of the suite's own service. */
  readonly schema?: true;
  /** A file in exceptions/: cases that fail, each with the reason. Without it none may. */
  readonly exceptions?: string;
  /** Cases of which the server passes all when nothing is in front of it. */
  readonly cases: number;
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

/**
 * Over HTTP/1.1 Go's servers read no more of a request once they answer it, so a call in both directions at once stands still
 * there, with or without a proxy.
 */
const halfDuplex: Features = {
  ...bridged,
  stream_types: [
    "STREAM_TYPE_UNARY",
    "STREAM_TYPE_CLIENT_STREAM",
    "STREAM_TYPE_SERVER_STREAM",
    "STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM",
  ],
};

const codecs = ["proto", "json"];

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
    exceptions: "grpc-go.txt",
    cases: 1_182,
  },
  {
    name: "bridged to grpc-go, JSON in front",
    features: { ...bridged, ...ofGrpcGo, codecs: ["CODEC_JSON"] },
    server: "grpcserver",
    upstream: { protocols: ["grpc"] },
    schema: true,
    exceptions: "grpc-go-json.txt",
    cases: 808,
  },
  {
    name: "bridged to gRPC-Web over HTTP/2",
    features: bridged,
    server: "referenceserver",
    upstream: { protocols: ["grpc_web"], codecs },
    exceptions: "to-grpc-web.txt",
    cases: 5_438,
  },
  {
    name: "bridged to gRPC-Web over HTTP/1.1",
    features: halfDuplex,
    server: "referenceserver",
    upstream: { protocols: ["grpc_web"], http: "1.1", codecs },
    exceptions: "to-grpc-web.txt",
    cases: 5_082,
  },
  {
    name: "bridged to Connect over HTTP/2",
    features: bridged,
    server: "referenceserver",
    upstream: { protocols: ["connect"], codecs },
    exceptions: "to-connect.txt",
    cases: 5_438,
  },
  {
    name: "bridged to Connect over HTTP/1.1",
    features: halfDuplex,
    server: "referenceserver",
    upstream: { protocols: ["connect"], http: "1.1", codecs },
    exceptions: "to-connect.txt",
    cases: 5_082,
  },
];
