/** Settings of an HTTP/1.1 connection: how much of each part of a request a peer may send, and how long it may take. */

/**
 * Every limit of one connection, in the words of RFC 9112 where it has one. The defaults are for an edge that faces strangers;
 * each names what it is against, or whom it must not hurt.
 */
export interface Http1Settings {
  /** Bytes of a request line; a longer one is 414. Default 8 KiB, as RFC 9112 section 3 asks for at least 8,000. */
  readonly maxRequestLine: number;
  /** Bytes of a header section, or of a trailer section; more is 431. Default 16 KiB, as on HTTP/2 and as Node. */
  readonly maxHeaderSection: number;
  /** Field lines of one section; more is 431. Default 128. */
  readonly maxHeaderFields: number;
  /** Bytes of chunk extensions in one request (CVE-2023-39326, CVE-2024-22019); more is 413. Default 4 KiB. */
  readonly maxChunkExtensions: number;
  /** Bytes that may wait behind the request that is being answered before the socket isn't read any more. Default 64 KiB. */
  readonly maxPipelinedBytes: number;
  /** Bytes of a body handed out and not consumed before the socket isn't read any more. Default 65,535, as a stream on HTTP/2. */
  readonly initialWindowSize: number;
  /** Bytes that may wait in the socket before body is held back. Default 256 KiB; never below the 64 KiB at which a socket says `drain`. */
  readonly maxSocketBuffer: number;
  /**
   * Bytes of a request that are read and dropped behind its response to keep the connection. A caller that sent all of its request
   * before it saw the response takes the connection for free, and its next request would run into the close. Default 10 MiB: all that
   * can be on its way, for Linux' buffers are at most 4 MiB at one end and 6 MiB at the other.
   */
  readonly maxDrainedBytes: number;
  /** Milliseconds for the same. Default 5 s, as nginx' lingering_timeout. */
  readonly drainTimeoutMs: number;
  /** Requests after which a connection is closed, to spread long-lived clients anew; 0 for no such limit. Default 0. */
  readonly maxRequests: number;
  /** Milliseconds from a request's first byte, or from the connection's begin, to the end of its header section. Default 30 s. */
  readonly headerTimeoutMs: number;
  /** Milliseconds in which some byte of a body that isn't whole must come, while it is read. Default 60 s. */
  readonly bodyIdleTimeoutMs: number;
  /**
   * Milliseconds between requests. Default 2 min: longer than clients (Go 90 s) and balancers (60 s) keep a connection, so that
   * it is they who close it and no request crosses with the close.
   */
  readonly keepAliveTimeoutMs: number;
  /** Milliseconds without a byte either way after which a request is given up. Default 5 min, as on HTTP/2; 0 turns it off. */
  readonly streamIdleTimeoutMs: number;
}

export const defaultSettings: Http1Settings = {
  maxRequestLine: 8 << 10,
  maxHeaderSection: 16 << 10,
  maxHeaderFields: 128,
  maxChunkExtensions: 4 << 10,
  maxPipelinedBytes: 64 << 10,
  initialWindowSize: 65_535,
  maxSocketBuffer: 256 << 10,
  maxDrainedBytes: 10 << 20,
  drainTimeoutMs: 5_000,
  maxRequests: 0,
  headerTimeoutMs: 30_000,
  bodyIdleTimeoutMs: 60_000,
  keepAliveTimeoutMs: 120_000,
  streamIdleTimeoutMs: 300_000,
};
