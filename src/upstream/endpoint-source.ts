/** Endpoint source: where an upstream's endpoints come from when they aren't written down: the seam for every kind of discovery. */
import type { EndpointOptions } from "./target.ts";

/** What a source tells. */
export interface EndpointListener {
  /**
   * All endpoints there are now; none is an answer, too. They may be the same as before. Those that stay keep their connections,
   * those that have gone finish their calls. Host names among them are resolved.
   *
   * @throws TypeError naming the endpoint that isn't one; then nothing has changed
   */
  onEndpoints(endpoints: readonly EndpointOptions[]): void;
  /** It can't tell at the moment. The last set stays in use. */
  onFailed(error: Error): void;
}

/** A source that has been started. */
export interface EndpointSource {
  /** It tells nothing any more. */
  close(): void;
}

/**
 * Starts to tell, not before the upstream's first call (or health check), and not before it returns. It goes on until it is closed,
 * with its own pace of trying again.
 */
export type Discovery = (listener: EndpointListener) => EndpointSource;
