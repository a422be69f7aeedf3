/** What the test tells the page to call, and what the page tells of it: plain data, as it goes from one process to another. */

export type ClientName =
  | "connect-web, Connect, JSON"
  | "connect-web, Connect, proto"
  | "connect-web, gRPC-Web"
  | GrpcWebName;
export type GrpcWebName = "grpc-web, grpcweb" | "grpc-web, grpcwebtext";

export interface PageCall {
  readonly client: ClientName;
  /** "https://127.0.0.1:8443" */
  readonly baseUrl: string;
  readonly method: "Unary" | "ServerStream";
  /** The request's one field, as text. */
  readonly value: string;
  readonly headers?: Record<string, string>;
  readonly timeoutMs?: number;
  /** Cancel as soon as so many replies have come; 0 at once after a tenth of a second. */
  readonly cancelAfter?: number;
}

export interface PageResult {
  readonly replies: string[];
  /** Milliseconds from the call to each reply. */
  readonly times: number[];
  /** What a page may see of the header and the trailer, by lower-case name. */
  readonly header: Record<string, string>;
  readonly trailer: Record<string, string>;
  readonly failure?: PageFailure;
}

export interface PageFailure {
  /** gRPC's number. */
  readonly code: number;
  readonly message: string;
  /** Types and bytes of the details, as a binary string. */
  readonly details: string;
}
