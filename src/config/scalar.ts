/** The words of the configuration that are more than strings: durations, sizes, addresses, URLs, patterns, header names. */
import { z } from "zod";
import { checkHeaderPattern } from "../admit/allowed-headers.ts";
import { namePattern } from "../admit/certificate.ts";
import { compileMatch } from "../route/match.ts";
import {
  parseChangeableHeaderName,
  parseExactMethod,
  parseHeaderName,
  parseHeaderNameOrAll,
  parseHeaderValue,
  parseKubernetesName,
  parsePattern,
  parseSchemaWord,
  parseServiceName,
} from "./naming.ts";
import { type Parsed, parseBy, right, wrong } from "./parsed.ts";
import {
  parseAddress,
  parseApiServer,
  parseAuthority,
  parseDnsServer,
  parseEndpointUrl,
  parseHealthPath,
  parseKeySet,
  parseOrigin,
} from "./place.ts";
import { durationPattern, parseDuration, parseRate, parseSize, sizePattern } from "./quantity.ts";
import { suggestion } from "./suggest.ts";

/** "a list", "a string", 8080, ...: a value of the wrong type as a message names it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a map" : `a ${typeof value}`;
}

/** The message of a schema for a value of the wrong type. */
export function expected(what: string) {
  return (issue: { readonly input: unknown }) => `expected ${what}, got ${kindOf(issue.input)}`;
}

/** A schema for a string that a parser reads. The hint travels in the issue's `params`. */
export function scalar<T>(what: string, parse: (text: string) => Parsed<T>) {
  return z.string({ error: expected(what) }).transform((text, context): T => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.message, params: { hint: parsed.hint } });
    return z.NEVER;
  });
}

/** One of some words, where something else than a word may stand as well: zod's own enum would hide what is wrong with that. */
export function word<T extends string>(...words: readonly T[]) {
  return scalar(words.join(", "), (text): Parsed<T> => {
    const known = words.find((one) => one === text);
    return known === undefined ? wrong(`unknown value "${text}"`, suggestion(text, words)) : right(known);
  }).meta({ enum: [...words] });
}

export const duration = scalar('a duration such as "10s"', parseDuration).meta({ pattern: durationPattern.source });

/** A duration for which nothing makes no sense. */
export const positiveDuration = duration.refine((ms) => ms > 0, { error: "must be more than 0" });

/** A duration that HTTP counts in seconds. */
export const wholeSeconds = duration.refine((ms) => ms % 1_000 === 0, { error: "must be whole seconds" });

/** Bytes, as a number or as "64KiB". */
export const size = z.union(
  [z.int().nonnegative(), scalar("a size", parseSize).meta({ pattern: sizePattern.source })],
  {
    error: expected('a size such as 65536 or "64KiB"'),
  },
);

/** Of a file, relative to the configuration. */
export const path = z.string().min(1);

export const address = scalar('an address such as "127.0.0.1:8080"', parseAddress);
export const endpointUrl = scalar('a URL such as "http://127.0.0.1:50051"', parseEndpointUrl).meta({
  pattern: "^(https?|dns\\+srv(\\+tls)?)://[^/]+/?$",
});
export const headerName = scalar("the name of a header", parseHeaderName);
export const changeableHeaderName = scalar("the name of a header", parseChangeableHeaderName);
export const headerNameOrAll = scalar('the name of a header, or "*"', parseHeaderNameOrAll);
export const origin = scalar('an origin such as "https://app.example.com"', parseOrigin);
export const schemaWord = scalar("reflection", parseSchemaWord).meta({ enum: ["reflection"] });
export const headerValue = scalar("a string", parseHeaderValue);
export const servicePattern = scalar("a string", parsePattern("service"));
export const methodPattern = scalar("a string", parsePattern("method"));
export const exactMethod = scalar("a method", parseExactMethod);
export const authorityPattern = scalar("a string", parsePattern("authority"));
export const healthPath = scalar('a path such as "/healthz"', parseHealthPath).meta({ pattern: "^/[!-~]*$" });
export const serviceName = scalar("the name of a service", parseServiceName);
export const authority = scalar("a host, or host:port", parseAuthority);
export const rate = scalar('a rate such as "100/s"', parseRate).meta({ pattern: "^\\d+(\\.\\d+)?/[smh]$" });
export const kubernetesName = scalar("a name", parseKubernetesName);
export const apiServer = scalar("a URL", parseApiServer);
export const dnsServer = scalar("the address of a DNS server", parseDnsServer);
export const keySet = scalar("a URL, or the path of a file", parseKeySet);
export const headerPattern = scalar("the name of a header", parseBy(checkHeaderPattern));
export const certificateName = scalar("a name", parseBy(namePattern));
export const identityPattern = scalar(
  "a name",
  parseBy((identity) => compileMatch({ identity })),
);
