/** Admin: who may reach it, the token it asks for, and what it shows of the configuration. */
import { isLoopback, parseListenAddress } from "../serve/address.ts";
import { admin, defaultAdminAddress } from "./admin-schema.ts";
import { isMap, type Parts } from "./parts.ts";
import type { Problem } from "./problem.ts";
import { asText, type ReadFile, whyUnread } from "./read-file.ts";
import type { Source } from "./source.ts";

/** Characters of a token, at least: below, it could be guessed. */
const minToken = 16;

export interface AdminToken {
  /** Undefined where the file names none. */
  readonly token: string | undefined;
  readonly problems: readonly Problem[];
}

/** What can drain the proxy isn't for everyone who reaches its machine. */
export function adminProblems(source: Source, { listeners }: Parts): Problem[] {
  const given = isMap(source.value) ? source.value.admin : undefined;
  const parsed = admin.safeParse(given);
  if (!parsed.success) return [];
  const { address = defaultAdminAddress, token_file: tokenFile } = parsed.data;
  const problems: Problem[] = [];
  if (!address.endsWith(":0") && listeners.some(({ value }) => value.address === address)) {
    problems.push(source.problem(["admin", "address"], `address ${address} is listened on twice`));
  }
  if (tokenFile === undefined && !isLoopback(parseListenAddress(address).host)) {
    const hint = "give token_file, or an address such as 127.0.0.1:9901";
    problems.push(
      source.problem(["admin", "address"], "admin needs a token_file where other machines reach it", { hint }),
    );
  }
  return problems;
}

/** @param read finds a file by its path as it stands in the configuration */
export function readAdminToken(source: Source, read: ReadFile): AdminToken {
  const given = isMap(source.value) ? admin.safeParse(source.value.admin) : undefined;
  const file = given?.data?.token_file;
  if (file === undefined) return { token: undefined, problems: [] };
  const problem = (message: string) => ({
    token: undefined,
    problems: [source.problem(["admin", "token_file"], message)],
  });
  let token: string;
  try {
    token = asText(read(file)).trim();
  } catch (error) {
    return problem(`${whyUnread(error)}: ${file}`);
  }
  if (!/^[\x21-\x7e]+$/.test(token)) return problem(`${file} holds no token: one line of visible characters`);
  if (token.length < minToken) return problem(`the token in ${file} is too short: at least ${minToken} characters`);
  return { token, problems: [] };
}

const secretName = /token|secret|passw|auth|cookie|api[-_]?key|credential|private/i;

/** Keys that name a file, whose path is no secret; and those that are words of the configuration. */
const plainName = /(_file|_url|authority|authorize)$/i;

/** A configuration as it may be shown: what looks like a secret is `***`. */
export function masked(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((each) => masked(each, name));
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each, key)]));
  if (typeof value !== "string") return value;
  if (secretName.test(name) && !plainName.test(name)) return "***";
  return value.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1***@");
}
