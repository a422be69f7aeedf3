import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field } from "../../src/http2/field.ts";
import { type CorsOptions, createCors, isPreflight, originProblem, withCors } from "../../src/serve/cors.ts";

const app = "https://app.example.com";
const pairs = (fields: readonly Field[]) => fields.map(({ name, value }): [string, string] => [name, value]);

function preflightOf(origin: string): Field[] {
  return [
    new Field(":method", "OPTIONS"),
    new Field(":path", "/a.S/M"),
    new Field("origin", origin),
    new Field("access-control-request-method", "POST"),
    new Field("access-control-request-headers", "content-type"),
  ];
}

/** Whether the page's browser would let it call and read. */
function admits(options: CorsOptions, origin: string): boolean {
  const cors = createCors(options);
  const [call, read] = [cors.preflight(preflightOf(origin)), cors.responseFields(origin)].map((fields) => {
    const allow = new Map(pairs(fields)).get("access-control-allow-origin");
    return allow === "*" || allow === origin;
  });
  expect(call).toBe(read);
  return call!;
}

describe("createCors()", () => {
  it("answers a preflight of a listed origin with all that Connect and gRPC-Web need", () => {
    expect(pairs(createCors({ origins: [app] }).preflight(preflightOf(app)))).toEqual([
      [":status", "204"],
      ["access-control-allow-origin", app],
      ["vary", "Origin"],
      ["access-control-allow-methods", "GET, POST"],
      [
        "access-control-allow-headers",
        "Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Connect-Content-Encoding, Connect-Accept-Encoding, " +
          "Content-Encoding, Accept-Encoding, Grpc-Timeout, X-Grpc-Web, X-User-Agent",
      ],
      ["access-control-max-age", "7200"],
    ]);
  });

  it("lets a listed origin read the status, and varies by origin", () => {
    expect(pairs(createCors({ origins: [app] }).responseFields(app))).toEqual([
      ["access-control-allow-origin", app],
      ["vary", "Origin"],
      [
        "access-control-expose-headers",
        "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Content-Encoding, Connect-Content-Encoding",
      ],
    ]);
  });

  it("allows a foreign origin nothing, and still varies, for a cache may keep the answer", () => {
    const cors = createCors({ origins: [app], credentials: true });
    expect(pairs(cors.preflight(preflightOf("https://evil.com")))).toEqual([
      [":status", "204"],
      ["vary", "Origin"],
    ]);
    expect(pairs(cors.responseFields("https://evil.com"))).toEqual([["vary", "Origin"]]);
    expect(pairs(cors.responseFields(undefined))).toEqual([["vary", "Origin"]]);
  });

  it("adds configured headers, those to be read also as Connect's trailers", () => {
    const cors = createCors({ origins: [app], allowHeaders: ["X-Token"], exposeHeaders: ["X-Cost"], maxAge: 60 });
    const preflight = new Map(pairs(cors.preflight(preflightOf(app))));
    expect(preflight.get("access-control-allow-headers")).toMatch(/, X-User-Agent, X-Token$/);
    expect(preflight.get("access-control-max-age")).toBe("60");
    const response = new Map(pairs(cors.responseFields(app)));
    expect(response.get("access-control-expose-headers")).toMatch(
      /, Connect-Content-Encoding, X-Cost, Trailer-X-Cost$/,
    );
  });

  it("sends credentials' permission where it is given, and only there", () => {
    const name = "access-control-allow-credentials";
    const cors = createCors({ origins: [app], credentials: true });
    expect(new Map(pairs(cors.preflight(preflightOf(app)))).get(name)).toBe("true");
    expect(new Map(pairs(cors.responseFields(app))).get(name)).toBe("true");
    expect(new Map(pairs(createCors({ origins: [app] }).responseFields(app))).has(name)).toBe(false);
  });

  it("gives * the same answer for all, pages or not, so that there is nothing to vary by", () => {
    const cors = createCors({ origins: ["*"], exposeHeaders: ["*"] });
    expect(cors.responseFields(undefined)).toBe(cors.responseFields("https://anything.example"));
    const fields = new Map(pairs(cors.responseFields("null")));
    expect(fields.get("access-control-allow-origin")).toBe("*");
    expect(fields.get("access-control-expose-headers")).toMatch(/, \*$/);
    expect(fields.has("vary")).toBe(false);
  });

  it.each([
    [[app], app],
    [["https://APP.example.com:443"], app],
    [["http://localhost:5173"], "http://localhost:5173"],
    [["http://[::1]:8080"], "http://[::1]:8080"],
    [["https://bücher.example"], "https://xn--bcher-kva.example"],
    [["chrome-extension://abcdef"], "chrome-extension://abcdef"],
    [["https://*.example.com"], app],
    [["https://*.example.com"], "https://a.b.example.com"],
    [["https://*.example.com:8443"], "https://app.example.com:8443"],
    [["HTTPS://*.Example.com:443"], app],
    [["null"], "null"],
    [["https://other.example", app], app],
  ])("with origins %j admits %s", (origins, origin) => {
    expect(admits({ origins }, origin)).toBe(true);
  });

  it.each([
    [[app], "null"],
    [[app], "https://app.example.com.evil.com"],
    [["https://good.com"], "https://good.com.evil.com"],
    [["https://good.com"], "https://evilgood.com"],
    [["https://good.com"], "https://evil.com?https://good.com"],
    [[app], "http://app.example.com"],
    [[app], "https://app.example.com:8443"],
    [[app], "https://app.example.com/"],
    [[app], "https://app.example.co"],
    [[app], ""],
    [["https://*.example.com"], "https://example.com"],
    [["https://*.example.com"], "https://.example.com"],
    [["https://*.example.com"], "https://evilexample.com"],
    [["https://*.example.com"], "https://evil.com/.example.com"],
    [["https://*.example.com"], "https://evil.com#.example.com"],
    [["https://*.example.com"], "https://evil.com:80.example.com"],
    [["https://*.example.com"], "https://user@a.example.com"],
    [["https://*.example.com"], "http://a.example.com"],
    [["https://*.example.com"], "https://a.example.com:8443"],
    [["https://*.example.com"], "https://a.example.com.evil.com"],
    [["https://*.example.com"], "https://a..example.com"],
    [["https://*.example.com"], "null"],
    [["http://localhost"], "http://localhost:5173"],
  ])("with origins %j refuses %j", (origins, origin) => {
    expect(admits({ origins }, origin)).toBe(false);
  });

  it("admits no origin that isn't a listed one or below a wildcard, whatever it is made of", () => {
    const part = fc.constantFrom(
      "https://",
      "http://",
      "good.com",
      "evil.com",
      ".",
      "/",
      "?",
      "#",
      "@",
      ":",
      "443",
      "*",
      "a",
      "null",
      " ",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 7 }), (parts) => {
        const origin = parts.join("");
        const right = /^https:\/\/([a-z0-9]+\.)+good\.com$/.test(origin.replaceAll("evil.com", "evilcom"));
        expect(admits({ origins: ["https://*.good.com"] }, origin)).toBe(right);
        expect(admits({ origins: ["https://good.com"] }, origin)).toBe(origin === "https://good.com");
      }),
      { numRuns: 2000 },
    );
  });

  it.each<[CorsOptions, string]>([
    [{ origins: [] }, "cors.origins is empty"],
    [{ origins: ["*"], credentials: true }, 'cors.origins has "*", which cors.credentials forbids'],
    [{ origins: [app], allowHeaders: ["*"], credentials: true }, 'cors.allowHeaders has "*"'],
    [{ origins: [app], exposeHeaders: ["*"], credentials: true }, 'cors.exposeHeaders has "*"'],
    [{ origins: ["app.example.com"] }, '"app.example.com": give the scheme, such as "https://app.example.com"'],
    [{ origins: [`${app}/`] }, "no slash at the end"],
    [{ origins: [`${app}/path`] }, "only scheme, host and port"],
    [{ origins: ["https://app*.example.com"] }, "whole labels"],
    [{ origins: ["https://a.*.example.com"] }, "whole labels"],
    [{ origins: ["https://*"] }, "whole labels"],
    [{ origins: ["https://user@app.example.com"] }, "only scheme, host and port"],
    [{ origins: [app], allowHeaders: ["X Token"] }, 'invalid header name "X Token"'],
    [{ origins: [app], exposeHeaders: ["X-A\r\nSet-Cookie"] }, "invalid header name"],
    [{ origins: [app], maxAge: -1 }, "not -1"],
    [{ origins: [app], maxAge: 1.5 }, "not 1.5"],
  ])("refuses %j", (options, message) => {
    expect(() => createCors(options)).toThrow(TypeError);
    expect(() => createCors(options)).toThrow(message);
  });
});

describe("originProblem()", () => {
  it("finds none in what browsers send", () => {
    for (const origin of [app, "null", "http://localhost:5173", "http://[::1]:80", "capacitor://localhost"]) {
      expect(originProblem(origin)).toBeUndefined();
    }
  });
});

describe("isPreflight()", () => {
  it("takes OPTIONS with an origin and a wish for one, and nothing less", () => {
    const whole = preflightOf(app);
    expect(isPreflight(whole)).toBe(true);
    for (const name of [":method", "origin", "access-control-request-method"]) {
      expect(isPreflight(whole.filter((field) => field.name !== name))).toBe(false);
    }
    expect(isPreflight([...whole.slice(1), new Field(":method", "POST")])).toBe(false);
  });
});

describe("withCors()", () => {
  it("puts our answer in the place of the upstream's", () => {
    const head = [
      new Field(":status", "200"),
      new Field("access-control-allow-origin", "*"),
      new Field("vary", "Accept-Encoding"),
      new Field("access-control-expose-headers", "X"),
    ];
    expect(pairs(withCors(head, [new Field("access-control-allow-origin", app), new Field("vary", "Origin")]))).toEqual(
      [
        [":status", "200"],
        ["vary", "Accept-Encoding"],
        ["access-control-allow-origin", app],
        ["vary", "Origin"],
      ],
    );
  });
});
