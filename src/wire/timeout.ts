/** Deadlines on the wire: `grpc-timeout` and `connect-timeout-ms` to milliseconds and back. */
import { Code, ConnectError } from "@connectrpc/connect";

/** Milliseconds in each unit of `grpc-timeout`, finest first. */
const unitMs = { n: 1e-6, u: 1e-3, m: 1, S: 1e3, M: 60e3, H: 3600e3 } as const;

/** The longest value the specification allows: eight digits. */
const maxDigits = 8;

/**
 * Reads a `grpc-timeout` header.
 *
 * @param value the header, or undefined where the caller set no deadline
 * @returns milliseconds from now, fractions kept; undefined means no deadline
 * @throws ConnectError `invalid_argument` naming the value, if it isn't 1-8 digits and one of H M S m u n
 * @see gRPC over HTTP/2, "Timeout"
 */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (match === null) {
    throw new ConnectError(`invalid grpc-timeout "${value}"`, Code.InvalidArgument);
  }
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}

/**
 * Reads a `connect-timeout-ms` header.
 *
 * @param value the header, or undefined where the caller set no deadline
 * @returns milliseconds from now; undefined means no deadline
 * @throws ConnectError `invalid_argument` naming the value, if it isn't 1-10 digits
 * @see Connect protocol, "Timeout-Milliseconds"
 */
export function parseConnectTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,10}$/.test(value)) {
    throw new ConnectError(`invalid connect-timeout-ms "${value}"`, Code.InvalidArgument);
  }
  return Number(value);
}

/**
 * Writes the time that is left as a `grpc-timeout` header, in the finest unit that fits eight digits.
 * Rounds down, never up: an upstream must not believe that it has longer than the caller gave. Never below `1n`,
 * because `0` would read as "no time at all" at some servers and as "no deadline" at others.
 *
 * @param ms milliseconds left, finite; zero or less means that the deadline has passed
 */
export function formatGrpcTimeout(ms: number): string {
  for (const unit of ["n", "u", "m", "S", "M", "H"] as const) {
    const amount = Math.floor(Math.max(ms, 0) / unitMs[unit]);
    if (String(amount).length <= maxDigits) return `${Math.max(amount, 1)}${unit}`;
  }
  return `${"9".repeat(maxDigits)}H`; // beyond 11,000 years
}

/**
 * Writes the time that is left as a `connect-timeout-ms` header. Rounds down, but never below 1: some servers take 0 for "no
 * deadline".
 *
 * @param ms milliseconds left, finite; zero or less means that the deadline has passed
 */
export function formatConnectTimeout(ms: number): string {
  return String(Math.min(Math.max(Math.floor(ms), 1), 9_999_999_999));
}
