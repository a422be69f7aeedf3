/** Inputs for property tests: streams of requests that are right, nearly right, and spoilt. */
import fc from "fast-check";

const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}$/);
const value = fc.oneof(fc.stringMatching(/^[!-~\x80-\xff]([\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?$/), fc.constant(""));
const blank = fc.constantFrom("", " ", "  ", "\t", " \t");

/** Names that mean something, and are not for any value. */
const special =
  /^(host|content-length|transfer-encoding|connection|expect|keep-alive|proxy-connection|te|upgrade|http2-settings)$/i;

const plainField = fc
  .tuple(token, blank, value, blank)
  .filter(([name]) => !special.test(name))
  .map(([name, before, text, behind]) => `${name}:${before}${text}${behind}\r\n`);

/** Lines of which some are refused, some change how the request is read. */
const oddField = fc.constantFrom(
  "Connection: close\r\n",
  "Connection: keep-alive, X-Named\r\n",
  "X-Named: 1\r\n",
  "TE: trailers\r\n",
  "Upgrade: h2c\r\n",
  "Expect: 100-continue\r\n",
  "Expect: x\r\n",
  "Host: b\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 03\r\n",
  "Content-Length: 3, 3\r\n",
  "Content-Length: +3\r\n",
  "Content-Length : 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding:  chunked\r\n",
  "Transfer-Encoding: chunked \r\n",
  "Transfer-Encoding: chunked\t\r\n",
  "Transfer-Encoding: chunked\xa0\r\n",
  "Content-Length:  3 \r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "Transfer-Encoding:\r\n chunked\r\n",
  "Transfer-Encoding: \x0bchunked\r\n",
  "X-Fold: a\r\n b\r\n",
  "X-Lf: a\n",
  "X-Cr: a\rb\r\n",
  "X-Nul: a\0b\r\n",
  "X-Del: a\x7fb\r\n",
  ": a\r\n",
  "X-NoColon\r\n",
);

const method = fc.constantFrom("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH");
const target = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^\/[\w.~!$&'()*+,;=:@/-]{0,20}(\?[\w.~!$&'()*+,;=:@/?-]{0,10})?$/) },
  fc.constantFrom("*", "/%41", "/%4", "http://b.example/x", "b.example:80", "/#", "/a b", "", "http://u@b/"),
);
const version = fc.oneof(
  { weight: 12, arbitrary: fc.constant("HTTP/1.1") },
  fc.constantFrom("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11"),
);
const host = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("Host: a.example\r\n", "host:a:80\r\n") },
  fc.constantFrom("", "Host:\r\n", "Host: a\r\nHost: a\r\n", "Host: a b\r\n"),
);
const bytes = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 40,
});

const size = fc.tuple(fc.nat(3), fc.boolean()).map(([zeros, upper]) => (text: string) => {
  const digits = "0".repeat(zeros) + text.length.toString(16);
  return upper ? digits.toUpperCase() : digits;
});
const extension = fc.oneof(
  { weight: 8, arbitrary: fc.constant("") },
  fc.constantFrom(";a", ";a=b", ';a="b c"', ";a;b=c", " ;a", ";", ";a=\n", "\t"),
);
const chunk = fc
  .tuple(
    size,
    extension,
    bytes.filter((text) => text.length > 0),
  )
  .map(([sizeOf, ext, text]) => `${sizeOf(text)}${ext}\r\n${text}\r\n`);
const trailer = fc.oneof(
  { weight: 4, arbitrary: plainField },
  fc.constantFrom("Content-Length: 3\r\n", "Host: b\r\n", "X-T : 1\r\n", "TE: x\r\n"),
);
const chunkedBody = fc
  .tuple(fc.array(chunk, { maxLength: 4 }), extension, fc.array(trailer, { maxLength: 2 }))
  .map(([chunks, ext, trailers]) => ({
    field: "Transfer-Encoding: chunked\r\n",
    text: `${chunks.join("")}0${ext}\r\n${trailers.join("")}\r\n`,
  }));
const lengthBody = bytes.map((text) => ({ field: `Content-Length: ${text.length}\r\n`, text }));
const noBody = fc.constant({ field: "", text: "" });

const fields = fc.tuple(fc.array(plainField, { maxLength: 5 }), fc.option(oddField, { freq: 4, nil: "" }));

/** One request, right in most cases, or wrong in a way that is known from attacks. */
const request = fc
  .record({ method, target, version, host, fields, body: fc.oneof(noBody, lengthBody, chunkedBody) })
  .map(({ method, target, version, host, fields: [plain, odd], body }) => {
    return `${method} ${target} ${version}\r\n${host}${plain.join("")}${body.field}${odd}\r\n${body.text}`;
  });

/** Some requests one behind the other, with repeats, so that lines are known when they come again. */
export const stream = fc
  .tuple(fc.array(request, { minLength: 1, maxLength: 3 }), fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }))
  .map(([requests, order]) => order.map((at) => requests[at % requests.length]!).join(""));

/** What a byte may become: those that mean something to a parser, and any. */
const spoiler = fc.oneof(
  fc.constantFrom(
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "\0",
    "\x0b",
    "\x7f",
    "0",
    "5",
    "+",
    "-",
    "x",
    "\r\n\r\n",
    "\xa0",
    "\x85",
  ),
  fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
);

interface Edit {
  readonly at: number;
  readonly removed: number;
  readonly inserted: string;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(400),
  removed: fc.constantFrom(0, 0, 1, 1, 2, 10),
  inserted: fc.oneof(spoiler, fc.constant("")),
});

/** The same with a few bytes changed. */
export const spoiltStream = fc.tuple(stream, fc.array(edit, { minLength: 1, maxLength: 3 })).map(([text, edits]) =>
  edits.reduce((spoilt, { at, removed, inserted }) => {
    const from = at % (spoilt.length + 1);
    return spoilt.slice(0, from) + inserted + spoilt.slice(from + removed);
  }, text),
);

/** Where to split so many bytes. */
export function splitsOf(length: number): fc.Arbitrary<number[]> {
  return fc.oneof(
    fc.constant(Array.from({ length }, (_, at) => at)),
    fc.uniqueArray(fc.nat(Math.max(length - 1, 0)), { maxLength: 12 }).map((splits) => splits.sort((a, b) => a - b)),
  );
}
