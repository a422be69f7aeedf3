/** Names of headers, services and methods, and patterns of them, as the configuration says them. */
import { compileMatch } from "../route/match.ts";
import { parsePath } from "../wire/path.ts";
import { type Parsed, right, wrong } from "./parsed.ts";
import { suggestion } from "./suggest.ts";

/** RFC 9110 section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A header's name, in lower case. */
export function parseHeaderName(text: string): Parsed<string> {
  return token.test(text) ? right(text.toLowerCase()) : wrong(`not a header name: "${text}"`);
}

/** Headers that belong to the connection or to the call's protocol: adding or removing them would break calls. */
const reserved = new Set(
  "connection content-length content-type grpc-timeout host keep-alive proxy-connection te transfer-encoding upgrade".split(
    " ",
  ),
);

/** A header's name that a route may add or remove, in lower case. */
export function parseChangeableHeaderName(text: string): Parsed<string> {
  const name = parseHeaderName(text);
  if (!name.ok || !reserved.has(name.value)) return name;
  const hint = { host: "use rewrite: { authority: ... }", "grpc-timeout": "use timeout" }[name.value];
  return wrong(`"${name.value}" can't be added or removed`, hint);
}

/** A header's value: printable ASCII, as gRPC wants it. */
export function parseHeaderValue(text: string): Parsed<string> {
  return /^[\x20-\x7e]*$/.test(text) ? right(text) : wrong(`not a header value: ${JSON.stringify(text)}`);
}

/** A header's name in lower case, or "*" for every one; browsers know no other patterns. */
export function parseHeaderNameOrAll(text: string): Parsed<string> {
  return text === "*" || !text.includes("*")
    ? parseHeaderName(text)
    : wrong(`not a header name: "${text}"`, 'only "*" alone stands for others');
}

/** A pattern of a match, as route/match.ts understands it. */
export function parsePattern(key: "service" | "method" | "authority"): (text: string) => Parsed<string> {
  return (text) => {
    try {
      compileMatch({ [key]: text });
      return right(text);
    } catch (error) {
      const hint =
        key === "service" && text.includes("/") ? "a method is matched by method: service/method" : undefined;
      return wrong((error as Error).message, hint);
    }
  };
}

/** The name of a service, without a pattern. */
export function parseServiceName(text: string): Parsed<string> {
  return parsePath(`/${text}/Method`) !== undefined && !text.includes("*")
    ? right(text)
    : wrong(`not a service: "${text}"`);
}

/** A method with its service, without a pattern. */
export function parseExactMethod(text: string): Parsed<string> {
  return parsePath(`/${text}`) !== undefined && !text.includes("*")
    ? right(text)
    : wrong(`not a method: "${text}"`, 'give "service/method"');
}

/** A name of Kubernetes' (RFC 1123 label). */
export function parseKubernetesName(text: string): Parsed<string> {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return right(text);
  return wrong(`not a name that Kubernetes takes: "${text}"`, "letters in lower case, digits and hyphens");
}

/** "reflection" is the only word; a file is given as a map. */
export function parseSchemaWord(text: string): Parsed<"reflection"> {
  if (text === "reflection") return right(text);
  const isFile = /[./\\]/.test(text);
  return wrong(
    `unknown value "${text}"`,
    isFile ? `a file is given as { image: ${text} }` : suggestion(text, ["reflection"]),
  );
}
