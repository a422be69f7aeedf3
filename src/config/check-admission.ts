/** What a schema can't say of `rate_limit`, `jwt`, `certificate` and `headers`: that what they go by is there. */
import { type AdmissionConfig, isKeySetUrl } from "./admission.ts";
import type { Part, Parts } from "./parts.ts";
import type { Problem } from "./problem.ts";
import type { Source } from "./source.ts";

type Asking = Part<AdmissionConfig>;

export function admissionProblems(source: Source, { listeners, routes }: Parts): Problem[] {
  const asking: Asking[] = [...listeners, ...routes];
  const certificates = listeners.some(({ value }) => value.tls?.client_ca !== undefined);
  return [
    ...listeners.flatMap((part) =>
      part.value.tls?.client_ca === undefined
        ? certificateProblems(source, part, "this listener has no client_ca")
        : [],
    ),
    ...(certificates ? [] : routes.flatMap((part) => certificateProblems(source, part, "no listener has client_ca"))),
    ...asking.flatMap((part) => identityProblems(source, part, listeners)),
    ...asking.flatMap((part) => tokenHeaderProblems(source, part)),
    ...routes.flatMap((part) => claimMatchProblems(source, part, listeners)),
  ];
}

/** Without an authority nobody is asked for a certificate, and so nobody has one. */
function certificateProblems(source: Source, { path, value }: Asking, why: string): Problem[] {
  const hint = "tls: { client_ca: FILE } asks callers for one";
  const problems: Problem[] = [];
  if (value.certificate !== undefined) {
    problems.push(
      source.problem([...path, "certificate"], `callers have no certificate: ${why}`, { part: "key", hint }),
    );
  }
  for (const at of limitsBy(value, "certificate")) {
    problems.push(source.problem([...path, ...at, "by"], `callers have no certificate: ${why}`, { hint }));
  }
  return problems;
}

function identityProblems(source: Source, { path, value }: Asking, listeners: Parts["listeners"]): Problem[] {
  const known = [value, ...listeners.map((one) => one.value)].some(({ jwt, certificate }) => jwt ?? certificate);
  if (known) return [];
  return limitsBy(value, "identity").map((at) =>
    source.problem([...path, ...at, "by"], "callers have no identity", { hint: "jwt or certificate finds one" }),
  );
}

/** The places of those limits that go by this. */
function limitsBy({ rate_limit: limits }: AdmissionConfig, by: string): (string | number)[][] {
  if (Array.isArray(limits)) return limits.flatMap((limit, at) => (limit.by === by ? [["rate_limit", at]] : []));
  return limits?.by === by ? [["rate_limit"]] : [];
}

function tokenHeaderProblems(source: Source, { path, value }: Asking): Problem[] {
  const { header = "authorization", claim_headers: headers = {} } = value.jwt ?? {};
  const name = Object.keys(headers).find((one) => one.toLowerCase() === header);
  if (name === undefined) return [];
  return [source.problem([...path, "jwt", "claim_headers", name], `"${header}" has the token`, { part: "key" })];
}

/** Routes are chosen before what a route asks is known. */
function claimMatchProblems(source: Source, { path, value }: Parts["routes"][number], listeners: Parts["listeners"]) {
  const problems: Problem[] = [];
  const { claims, identity } = value.match ?? {};
  if (claims !== undefined && !listeners.some((one) => one.value.jwt !== undefined)) {
    const hint = "routes are chosen by what a listener's jwt found";
    problems.push(source.problem([...path, "match", "claims"], "no listener has jwt", { part: "key", hint }));
  }
  if (identity !== undefined && !listeners.some((one) => one.value.jwt ?? one.value.certificate)) {
    const hint = "routes are chosen by what a listener's jwt or certificate found";
    problems.push(
      source.problem([...path, "match", "identity"], "no listener has jwt or certificate", { part: "key", hint }),
    );
  }
  return problems;
}

/** What is no fault, but hardly meant. */
export function admissionWarnings(source: Source, { listeners, routes }: Parts): Problem[] {
  return [...listeners, ...routes].flatMap(({ path, value }: Asking) => {
    const { jwks } = value.jwt ?? {};
    if (jwks === undefined || !isKeySetUrl(jwks)) return [];
    const { protocol, hostname } = new URL(jwks);
    if (protocol === "https:" || /^(localhost|127\..*|\[::1\])$/.test(hostname)) return [];
    const message = "keys that come over cleartext can be anyone's";
    return [source.problem([...path, "jwt", "jwks"], message, { hint: "use https, or a file" })];
  });
}
