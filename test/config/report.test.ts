import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, file_google_protobuf_wrappers as file_wrappers } from "@bufbuild/protobuf/wkt";
import { afterAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";
import { file_manifold_demo_v1_demo as file_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { createLocalRoutes } from "../../src/local/routes.ts";
import { CertificateAuthority } from "../support/certificates.ts";

/** A configuration that is held in memory; so are the files that it names, but for modules. */
function load(text: string) {
  return loadConfig("manifold.yaml", (path) => (path === "manifold.yaml" ? Buffer.from(text) : fileOf(path)));
}

const authority = new CertificateAuthority("test");
const leaf = authority.issue({ commonName: "leaf" });
const image = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file_demo.proto] }));
const noServices = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file_wrappers.proto] }));
const files: Record<string, string | Uint8Array> = {
  "tls.crt": leaf.cert,
  "tls.key": leaf.key,
  "ca.crt": authority.cert,
  "api.binpb": image,
  "wrappers.binpb": noServices,
};

function fileOf(path: string): Uint8Array {
  if (path.endsWith(".js")) return readFileSync(path);
  const content = files[path.slice(path.lastIndexOf("/") + 1)];
  if (content === undefined) throw Object.assign(new Error("not found"), { code: "ENOENT" });
  return typeof content === "string" ? Buffer.from(content) : content;
}

async function report(text: string): Promise<string> {
  try {
    await load(text);
  } catch (error) {
    if (error instanceof ConfigError) return `\n${error.message}\n`;
    throw error;
  }
  throw new Error("the file was taken");
}

/** A file that is right but for the lines given. */
const around = {
  upstreams: "upstreams: { users: { endpoints: [http://10.0.0.1:50051] } }\n",
  routes: "routes: [{ to: users }]\n",
};

describe("loadConfig()", () => {
  it("reports every problem of a file at once, in the order of the lines", async () => {
    expect(
      await report(`
listners: []
listeners:
  - address: 8080
    limits: { max_frame_size: 12x, max_concurent_streams: 5 }
  - adress: 127.0.0.1:80
upstreams:
  users:
    endpoint: [http://10.0.0.1:50051]
    balance: round-robin
    connect_timeout: 10
routes:
  - match: { service: acme.UserService/Get, headers: { x-all: 1 } }
    to: user
  - refuse:
      code: unavailble
    timeout: 10x
access_log: false
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:2:1: unknown key "listners"
         2 | listners: []
           | ^^^^^^^^ did you mean "listeners"?

      manifold.yaml:4:14: expected an address such as "127.0.0.1:8080", got 8080
         4 |   - address: 8080
           |              ^^^^

      manifold.yaml:5:31: not a size: "12x"
         5 |     limits: { max_frame_size: 12x, max_concurent_streams: 5 }
           |                               ^^^ units are B, KiB, MiB and GiB

      manifold.yaml:5:36: unknown key "max_concurent_streams"
         5 |     limits: { max_frame_size: 12x, max_concurent_streams: 5 }
           |                                    ^^^^^^^^^^^^^^^^^^^^^ did you mean "max_concurrent_streams"?

      manifold.yaml:6:5: unknown key "adress"
         6 |   - adress: 127.0.0.1:80
           |     ^^^^^^ did you mean "address"?

      manifold.yaml:9:5: unknown key "endpoint"
         9 |     endpoint: [http://10.0.0.1:50051]
           |     ^^^^^^^^ did you mean "endpoints"?

      manifold.yaml:10:14: unknown value "round-robin"
        10 |     balance: round-robin
           |              ^^^^^^^^^^^ did you mean "round_robin"?

      manifold.yaml:11:22: expected a duration such as "10s", got 10
        11 |     connect_timeout: 10
           |                      ^^

      manifold.yaml:13:23: invalid service "acme.UserService/Get": give a full name, "prefix.*" or "*"
        13 |   - match: { service: acme.UserService/Get, headers: { x-all: 1 } }
           |                       ^^^^^^^^^^^^^^^^^^^^ a method is matched by method: service/method

      manifold.yaml:13:63: expected a string (put a number in quotes), or a map with present or prefix, got 1
        13 |   - match: { service: acme.UserService/Get, headers: { x-all: 1 } }
           |                                                               ^

      manifold.yaml:14:9: unknown upstream "user"
        14 |     to: user
           |         ^^^^ did you mean "users"?

      manifold.yaml:16:13: unknown value "unavailble"
        16 |       code: unavailble
           |             ^^^^^^^^^^ did you mean "unavailable"?

      manifold.yaml:17:5: "timeout" means nothing beside refuse
        17 |     timeout: 10x
           |     ^^^^^^^

      manifold.yaml:17:14: not a duration: "10x"
        17 |     timeout: 10x
           |              ^^^ units are ms, s, m and h

      manifold.yaml:18:13: expected one of auto, pretty, json, off, got false
        18 | access_log: false
           |             ^^^^^
      "
    `);
  });

  it("reports values of each kind with what is wrong and what was meant", async () => {
    expect(
      await report(`
listeners:
  - address: http://localhost:80
  - address: 1:2:3:80
  - address: "8080"
  - address: 127.0.0.1:99999
  - address: 127.0.0.1:80
    limits: { max_frame_size: 1KiB, initial_window_size: 64k, resets_per_second: 0, max_header_fields: 1.5 }
upstreams:
  users:
    endpoints:
      - 10.0.0.1:50051
      - grpc://10.0.0.1:50051
      - http://10.0.0.1:50051/path
      - http://me:pass@10.0.0.1:50051
      - 5
      - { nam: a, url: http://10.0.0.2 }
    max_connections: 0
    connect_timeout: 0s
  empty: { endpoints: [] }
routes:
  - match: { method: /acme.S/Get, authority: "a.*.b" }
    to: users
    add_headers: { Host: a, x-é: b, x-ok: "\\u0001", x-esc: "\u0001" }
    remove_headers: [te, "x y"]
drain_timeout: 30
log_level:
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:3:14: not an address: "http://localhost:80"
         3 |   - address: http://localhost:80
           |              ^^^^^^^^^^^^^^^^^^^ an address has no scheme: did you mean "localhost:80"?

      manifold.yaml:4:14: not an address: "1:2:3:80"
         4 |   - address: 1:2:3:80
           |              ^^^^^^^^ an IPv6 address is written in brackets: [::1]:8080

      manifold.yaml:5:14: not an address: "8080"
         5 |   - address: "8080"
           |              ^^^^^^ did you mean "127.0.0.1:8080", or ":8080" for all interfaces?

      manifold.yaml:6:14: no such port: 99999
         6 |   - address: 127.0.0.1:99999
           |              ^^^^^^^^^^^^^^^ ports are 0 to 65535

      manifold.yaml:8:31: out of range: from 16384 to 16777215 bytes
         8 |     limits: { max_frame_size: 1KiB, initial_window_size: 64k, resets_per_second: 0, max_header_fields: 1.5 }
           |                               ^^^^

      manifold.yaml:8:58: not a size: "64k"
         8 |     limits: { max_frame_size: 1KiB, initial_window_size: 64k, resets_per_second: 0, max_header_fields: 1.5 }
           |                                                          ^^^ did you mean "64KiB"?

      manifold.yaml:8:82: must be at least 1
         8 |     limits: { max_frame_size: 1KiB, initial_window_size: 64k, resets_per_second: 0, max_header_fields: 1.5 }
           |                                                                                  ^

      manifold.yaml:8:104: expected a whole number, got 1.5
         8 |     limits: { max_frame_size: 1KiB, initial_window_size: 64k, resets_per_second: 0, max_header_fields: 1.5 }
           |                                                                                                        ^^^

      manifold.yaml:12:9: not a URL: "10.0.0.1:50051"
        12 |       - 10.0.0.1:50051
           |         ^^^^^^^^^^^^^^ did you mean "http://10.0.0.1:50051"?

      manifold.yaml:13:9: unknown scheme "grpc"
        13 |       - grpc://10.0.0.1:50051
           |         ^^^^^^^^^^^^^^^^^^^^^ known: http (cleartext), https (TLS), dns+srv, dns+srv+tls

      manifold.yaml:14:9: invalid endpoint "http://10.0.0.1:50051/path": only scheme, host and port may be given
        14 |       - http://10.0.0.1:50051/path
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean "http://10.0.0.1:50051"?

      manifold.yaml:15:9: invalid endpoint "http://me:pass@10.0.0.1:50051": only scheme, host and port may be given
        15 |       - http://me:pass@10.0.0.1:50051
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean "http://10.0.0.1:50051"?

      manifold.yaml:16:9: expected a URL, or a map with url, got 5
        16 |       - 5
           |         ^

      manifold.yaml:17:11: unknown key "nam"
        17 |       - { nam: a, url: http://10.0.0.2 }
           |           ^^^ did you mean "name"?

      manifold.yaml:18:22: must be at least 1
        18 |     max_connections: 0
           |                      ^

      manifold.yaml:19:22: must be more than 0
        19 |     connect_timeout: 0s
           |                      ^^

      manifold.yaml:20:23: must not be empty
        20 |   empty: { endpoints: [] }
           |                       ^^

      manifold.yaml:22:46: invalid authority "a.*.b": give a host, or "*." and a domain
        22 |   - match: { method: /acme.S/Get, authority: "a.*.b" }
           |                                              ^^^^^^^

      manifold.yaml:24:20: "host" can't be added or removed
        24 |     add_headers: { Host: a, x-é: b, x-ok: "\\u0001", x-esc: "�" }
           |                    ^^^^ use rewrite: { authority: ... }

      manifold.yaml:24:29: not a header name: "x-é"
        24 |     add_headers: { Host: a, x-é: b, x-ok: "\\u0001", x-esc: "�" }
           |                             ^^^

      manifold.yaml:24:43: not a header value: "\\u0001"
        24 |     add_headers: { Host: a, x-é: b, x-ok: "\\u0001", x-esc: "�" }
           |                                           ^^^^^^^^

      manifold.yaml:24:60: not a header value: "\\u0001"
        24 |     add_headers: { Host: a, x-é: b, x-ok: "\\u0001", x-esc: "�" }
           |                                                            ^^^

      manifold.yaml:25:22: "te" can't be added or removed
        25 |     remove_headers: [te, "x y"]
           |                      ^^

      manifold.yaml:25:26: not a header name: "x y"
        25 |     remove_headers: [te, "x y"]
           |                          ^^^^^

      manifold.yaml:26:16: expected a duration such as "10s", got 30
        26 | drain_timeout: 30
           |                ^^

      manifold.yaml:27:11: expected one of debug, info, warn, error, silent, got nothing
        27 | log_level:
           |           ^
      "
    `);
  });

  it("reports parts that don't fit together", async () => {
    expect(
      await report(`
listeners:
  - address: 127.0.0.1:8443
    tls: { cert: gone.crt, key: tls.key }
  - address: 127.0.0.1:8443
    tls: { cert: ca.crt, key: tls.key, client_ca: tls.key }
upstreams:
  secure:
    endpoints: [http://a:1, https://b:1, https://b:1]
    tls: { cert: tls.crt }
  named:
    endpoints: [{ name: x, url: https://a }, { name: x, url: http://b, server_name: b }]
routes:
  - match: { headers: { x-a: {}, X-B: b, x-b: c } }
    to: secured
  - to: named
    refuse: { code: internal }
  - match: {}
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:4:18: no such file: gone.crt
         4 |     tls: { cert: gone.crt, key: tls.key }
           |                  ^^^^^^^^

      manifold.yaml:5:14: address 127.0.0.1:8443 is listened on twice
         5 |   - address: 127.0.0.1:8443
           |              ^^^^^^^^^^^^^^

      manifold.yaml:6:31: tls.key is not the key of ca.crt
         6 |     tls: { cert: ca.crt, key: tls.key, client_ca: tls.key }
           |                               ^^^^^^^

      manifold.yaml:6:51: no certificate in PEM form in tls.key
         6 |     tls: { cert: ca.crt, key: tls.key, client_ca: tls.key }
           |                                                   ^^^^^^^

      manifold.yaml:9:17: upstream "secure" has tls, but this endpoint is cleartext
         9 |     endpoints: [http://a:1, https://b:1, https://b:1]
           |                 ^^^^^^^^^^ did you mean "https://a:1"?

      manifold.yaml:9:42: endpoint "b:1" is given twice
         9 |     endpoints: [http://a:1, https://b:1, https://b:1]
           |                                          ^^^^^^^^^^^ each needs a name of its own

      manifold.yaml:10:12: "cert" needs "key" beside it
        10 |     tls: { cert: tls.crt }
           |            ^^^^

      manifold.yaml:12:54: endpoint "x" is given twice
        12 |     endpoints: [{ name: x, url: https://a }, { name: x, url: http://b, server_name: b }]
           |                                                      ^ each needs a name of its own

      manifold.yaml:12:62: server_name is for TLS, but this endpoint is cleartext
        12 |     endpoints: [{ name: x, url: https://a }, { name: x, url: http://b, server_name: b }]
           |                                                              ^^^^^^^^ did you mean "https://b"?

      manifold.yaml:14:30: a header is matched by either present or prefix
        14 |   - match: { headers: { x-a: {}, X-B: b, x-b: c } }
           |                              ^^

      manifold.yaml:14:42: header "x-b" is given twice
        14 |   - match: { headers: { x-a: {}, X-B: b, x-b: c } }
           |                                          ^^^

      manifold.yaml:15:9: unknown upstream "secured"
        15 |     to: secured
           |         ^^^^^^^ did you mean "secure"?

      manifold.yaml:17:5: a route has either to or refuse, not both
        17 |     refuse: { code: internal }
           |     ^^^^^^

      manifold.yaml:18:5: a route needs to, fan_out or refuse
        18 |   - match: {}
           |     ^^^^^
      "
    `);
  });

  it("reports what browsers and other protocols can't do with", async () => {
    expect(
      await report(`
listeners:
  - address: 127.0.0.1:80
    cors: { origins: [] }
  - address: 127.0.0.1:81
    cors:
      origins: [app.example.com, "https://app.example.com/", "https://a*.example.com", HTTPS://B.example, "*"]
      allow_headers: [x-team, x-*, "x y"]
      max_age: 1.5s
  - address: 127.0.0.1:82
    cors: { origins: ["*"], expose_headers: ["*"], credentials: true }
  - address: 127.0.0.1:83
    cors: { orgins: ["*"] }
    limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
upstreams:
  one:
    endpoints: [http://a:1]
    protocols: [grpc-web, grpc, grpc]
    http: 3
    codecs: [json, proto, json]
    schema: reflexion
  two: { endpoints: [http://a:1], http: "1.1", codecs: [], schema: api.binpb }
  three: { endpoints: [http://a:1], protocols: [connect, grpc], http: 1.1, schema: { image: gone.binpb } }
  four: { endpoints: [http://a:1], http: "h2", schema: { image: tls.crt } }
  five: { endpoints: [http://a:1], schema: { image: wrappers.binpb, imag: 1 }, limits: { http1: {} } }
  six: { endpoints: [http://a:1], schema: [] }
  seven: { endpoints: [http://a:1], protocols: [connect, grpc, connect], codecs: [json, json] }
  eight: { endpoints: [http://a:1], http: "1.1" }
routes: [{ to: one }]
module: gone.js
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:4:22: must not be empty
         4 |     cors: { origins: [] }
           |                      ^^

      manifold.yaml:7:17: not an origin: "app.example.com"
         7 |       origins: [app.example.com, "https://app.example.com/", "https://a*.example.com", HTTPS://B.example, "*"]
           |                 ^^^^^^^^^^^^^^^ give the scheme, such as "https://app.example.com"

      manifold.yaml:7:34: not an origin: "https://app.example.com/"
         7 |       origins: [app.example.com, "https://app.example.com/", "https://a*.example.com", HTTPS://B.example, "*"]
           |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean "https://app.example.com"?

      manifold.yaml:7:62: not an origin: "https://a*.example.com"
         7 |       origins: [app.example.com, "https://app.example.com/", "https://a*.example.com", HTTPS://B.example, "*"]
           |                                                              ^^^^^^^^^^^^^^^^^^^^^^^^ a "*" stands for whole labels at the start, as in "https://*.example.com"

      manifold.yaml:8:31: not a header name: "x-*"
         8 |       allow_headers: [x-team, x-*, "x y"]
           |                               ^^^ only "*" alone stands for others

      manifold.yaml:8:36: not a header name: "x y"
         8 |       allow_headers: [x-team, x-*, "x y"]
           |                                    ^^^^^

      manifold.yaml:9:16: must be whole seconds
         9 |       max_age: 1.5s
           |                ^^^^

      manifold.yaml:11:23: "*" can't stand beside credentials: true
        11 |     cors: { origins: ["*"], expose_headers: ["*"], credentials: true }
           |                       ^^^ with credentials, name them

      manifold.yaml:11:46: "*" can't stand beside credentials: true
        11 |     cors: { origins: ["*"], expose_headers: ["*"], credentials: true }
           |                                              ^^^ with credentials, name them

      manifold.yaml:13:13: unknown key "orgins"
        13 |     cors: { orgins: ["*"] }
           |             ^^^^^^ did you mean "origins"?

      manifold.yaml:14:15: unknown key "max_request_line"
        14 |     limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
           |               ^^^^^^^^^^^^^^^^ it belongs in "http1"

      manifold.yaml:14:62: must be at least 0
        14 |     limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
           |                                                              ^^

      manifold.yaml:14:86: must be more than 0
        14 |     limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
           |                                                                                      ^^

      manifold.yaml:14:90: unknown key "max_reqests"
        14 |     limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
           |                                                                                          ^^^^^^^^^^^ did you mean "max_requests"?

      manifold.yaml:14:106: unknown key "max_header_fields"
        14 |     limits: { max_request_line: 8KiB, http1: { max_requests: -1, keep_alive_timeout: 0s, max_reqests: 1, max_header_fields: 1 } }
           |                                                                                                          ^^^^^^^^^^^^^^^^^ it belongs beside "http1"

      manifold.yaml:18:17: unknown value "grpc-web"
        18 |     protocols: [grpc-web, grpc, grpc]
           |                 ^^^^^^^^ did you mean "grpc_web"?

      manifold.yaml:19:11: expected one of 2, 1.1, got 3
        19 |     http: 3
           |           ^

      manifold.yaml:21:13: unknown value "reflexion"
        21 |     schema: reflexion
           |             ^^^^^^^^^ did you mean "reflection"?

      manifold.yaml:22:56: must not be empty
        22 |   two: { endpoints: [http://a:1], http: "1.1", codecs: [], schema: api.binpb }
           |                                                        ^^

      manifold.yaml:22:68: unknown value "api.binpb"
        22 |   two: { endpoints: [http://a:1], http: "1.1", codecs: [], schema: api.binpb }
           |                                                                    ^^^^^^^^^ a file is given as { image: api.binpb }

      manifold.yaml:23:58: grpc can't be spoken over HTTP/1.1
        23 |   three: { endpoints: [http://a:1], protocols: [connect, grpc], http: 1.1, schema: { image: gone.binpb } }
           |                                                          ^^^^

      manifold.yaml:23:93: no such file: gone.binpb
        23 |   three: { endpoints: [http://a:1], protocols: [connect, grpc], http: 1.1, schema: { image: gone.binpb } }
           |                                                                                             ^^^^^^^^^^

      manifold.yaml:24:42: unknown value "h2"
        24 |   four: { endpoints: [http://a:1], http: "h2", schema: { image: tls.crt } }
           |                                          ^^^^ did you mean "2"?

      manifold.yaml:24:65: tls.crt can't be used: it is no Buf image or FileDescriptorSet: cant skip wire type 4
        24 |   four: { endpoints: [http://a:1], http: "h2", schema: { image: tls.crt } }
           |                                                                 ^^^^^^^

      manifold.yaml:25:53: wrappers.binpb can't be used: it has no services
        25 |   five: { endpoints: [http://a:1], schema: { image: wrappers.binpb, imag: 1 }, limits: { http1: {} } }
           |                                                     ^^^^^^^^^^^^^^

      manifold.yaml:25:69: unknown key "imag"
        25 |   five: { endpoints: [http://a:1], schema: { image: wrappers.binpb, imag: 1 }, limits: { http1: {} } }
           |                                                                     ^^^^ did you mean "image"?

      manifold.yaml:25:90: unknown key "http1"
        25 |   five: { endpoints: [http://a:1], schema: { image: wrappers.binpb, imag: 1 }, limits: { http1: {} } }
           |                                                                                          ^^^^^

      manifold.yaml:26:43: expected reflection, or a map with image, got a list
        26 |   six: { endpoints: [http://a:1], schema: [] }
           |                                           ^^

      manifold.yaml:27:64: "connect" is given twice
        27 |   seven: { endpoints: [http://a:1], protocols: [connect, grpc, connect], codecs: [json, json] }
           |                                                                ^^^^^^^

      manifold.yaml:27:89: "json" is given twice
        27 |   seven: { endpoints: [http://a:1], protocols: [connect, grpc, connect], codecs: [json, json] }
           |                                                                                         ^^^^

      manifold.yaml:28:43: grpc can't be spoken over HTTP/1.1
        28 |   eight: { endpoints: [http://a:1], http: "1.1" }
           |                                           ^^^^^ give protocols: [grpc_web], or [connect]

      manifold.yaml:30:9: no such file: gone.js
        30 | module: gone.js
           |         ^^^^^^^
      "
    `);
  });

  it("reports YAML that can't be read", async () => {
    expect(await report("routes: [1\nb: 2\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:2:1: flow sequence in block collection must be sufficiently indented and end with a ]
        2 | b: 2
          | ^
      "
    `);
    expect(await report("routes:\n  - to: a\nroutes: []\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:3:1: key routes is given twice
        3 | routes: []
          | ^^^^^^
      "
    `);
    expect(await report("routes: *nowhere\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:1:9: no such anchor: &nowhere
        1 | routes: *nowhere
          |         ^^^^^^^^
      "
    `);
    expect(await report("routes: []\n{ a: b }: c\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:2:1: expected a word as a key, got a map
        2 | { a: b }: c
          | ^^^^^^^^
      "
    `);
    expect(await report("routes: &a []\n*a : c\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:2:1: expected a word as a key, got a list
        2 | *a : c
          | ^^
      "
    `);
    expect(await report("# nothing but a comment\n")).toMatchInlineSnapshot(`
      "
      manifold.yaml:1:1: the file is empty
        1 | # nothing but a comment
          | ^
      "
    `);
    expect(await report("just text")).toMatchInlineSnapshot(`
      "
      manifold.yaml:1:1: expected a map, got a string
        1 | just text
          | ^^^^^^^^^
      "
    `);
  });

  it.each([
    ["[", "]"],
    ["{a: ", "}"],
    ["- ", ""],
    ["? ", ""],
  ])("reports what is nested without end, which would take the process with it: %s", async (open, close) => {
    const deep = open.repeat(20_000) + close.repeat(20_000);
    const message = await report(`routes:\n  - to: a\nx: ${open === "- " || open === "? " ? "\n" : ""}${deep}\n`);
    expect(message.slice(0, 100)).toMatch(/manifold.yaml:[34]:\d+: too many lists and maps within each other\n/);
    const taken = "[".repeat(40) + "]".repeat(40);
    expect(await report(`routes: ${taken}\n`)).toContain("expected a map, got a list");
  });

  it("says of a file that isn't there that it isn't", async () => {
    await expect(loadConfig("nowhere.yaml")).rejects.toThrow("nowhere.yaml: no such file");
  });

  it("puts the caret right after tabs, and no further than the line", async () => {
    expect(await report(`${around.upstreams}routes: [\t{\t"to":\t"user" } ]\n`)).toMatchInlineSnapshot(`
      "
      manifold.yaml:2:19: unknown upstream "user"
        2 | routes: [	{	"to":	"user" } ]
          |          	 	     	^^^^^^ did you mean "users"?
      "
    `);
    expect(await report(`${around.upstreams}routes:\n  - to: "us\n      er"\n`)).toMatchInlineSnapshot(`
      "
      manifold.yaml:3:9: unknown upstream "us er"
        3 |   - to: "us
          |         ^^^ known is only "users"
      "
    `);
  });

  it("keeps places of the problem for an editor", async () => {
    try {
      await load(`${around.upstreams}routes: [{ to: user }]\n`);
      expect.unreachable();
    } catch (error) {
      expect((error as ConfigError).problems).toEqual([
        {
          file: "manifold.yaml",
          line: 2,
          column: 16,
          length: 4,
          message: 'unknown upstream "user"',
          hint: 'did you mean "users"?',
        },
      ]);
    }
  });

  it("warns of upstreams without a route, of routes that no call reaches, and of what servers refuse", async () => {
    const { warnings } = await load(`
upstreams:
  users: { endpoints: [http://10.0.0.1:50051], protocols: [connect], http: "1.1", schema: reflection }
  others: { endpoints: [http://10.0.0.2:50051] }
routes:
  - to: users
  - match: { service: acme.S }
    refuse: { code: internal }
`);
    expect(`\n${warnings}\n`).toMatchInlineSnapshot(`
      "
      manifold.yaml:3:91: reflection is a bidirectional stream, which most servers refuse over HTTP/1.1
        3 |   users: { endpoints: [http://10.0.0.1:50051], protocols: [connect], http: "1.1", schema: reflection }
          |                                                                                           ^^^^^^^^^^ give { image: FILE }

      manifold.yaml:4:3: no route leads to upstream "others"
        4 |   others: { endpoints: [http://10.0.0.2:50051] }
          |   ^^^^^^

      manifold.yaml:7:5: this route is never reached: route 1 takes every call
        7 |   - match: { service: acme.S }
          |     ^^^^^
      "
    `);
  });

  it("reads durations as milliseconds, sizes as bytes and names of headers in lower case", async () => {
    const { config, warnings } = await load(`
listeners:
  - address: "[::1]:0"
    limits: { initial_window_size: 1MiB, max_frame_size: 16384, stream_idle_timeout: 0s }
upstreams:
  users:
    endpoints: [http://10.0.0.1:50051, { name: second, url: https://users.internal }]
    connect_timeout: 500ms
routes:
  - match: { headers: { X-All: "1", x-any: { present: true }, x-pre: { prefix: a } } }
    to: users
    timeout: 1h30m
    add_headers: { X-Team: [a, b] }
access_log: off
`);
    expect(warnings).toBe("");
    expect(config).toEqual({
      listeners: [
        {
          address: "[::1]:0",
          limits: { initial_window_size: 1_048_576, max_frame_size: 16_384, stream_idle_timeout: 0 },
        },
      ],
      upstreams: {
        users: {
          endpoints: ["http://10.0.0.1:50051", { name: "second", url: "https://users.internal" }],
          connect_timeout: 500,
        },
      },
      routes: [
        {
          match: { headers: { "x-all": "1", "x-any": { present: true }, "x-pre": { prefix: "a" } } },
          to: "users",
          timeout: 5_400_000,
          add_headers: { "x-team": ["a", "b"] },
        },
      ],
      access_log: "off",
    });
  });

  it("reads versions of HTTP with and without quotes, what browsers may do, and images by their paths", async () => {
    const { config, schemas, routes } = await load(`
listeners:
  - address: 127.0.0.1:80
    cors: { origins: ["https://*.example.com", "null"], allow_headers: [X-Team], credentials: true, max_age: 1h }
    limits: { http1: { max_requests: 1000, drain_timeout: 0s } }
upstreams:
  one: { endpoints: [http://a:1], protocols: [connect], http: 1.1, schema: { image: api.binpb } }
  two: { endpoints: [http://a:1], http: 2, schema: reflection, codecs: [json] }
routes: [{ to: one }]
`);
    expect(config.listeners?.[0]).toMatchObject({
      cors: { allow_headers: ["x-team"], credentials: true, max_age: 3_600_000 },
      limits: { http1: { max_requests: 1000, drain_timeout: 0 } },
    });
    expect(config.upstreams).toMatchObject({ one: { http: "1.1" }, two: { http: "2", schema: "reflection" } });
    expect(schemas.get("api.binpb")?.method("/manifold.demo.v1.DemoService/Greet")).toMatchObject({ kind: "unary" });
    expect(routes).toBeUndefined();
  });
});

describe("loadConfig() with a module", () => {
  const folder = mkdtempSync(join(tmpdir(), "manifold-module-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function loadWith(module: string, content: string) {
    writeFileSync(join(folder, module), content);
    const file = join(folder, "manifold.yaml");
    writeFileSync(file, `${around.upstreams}${around.routes}module: ${module}\n`);
    return loadConfig(file);
  }

  it.each([
    ["routes", "let n = 0; export function routes({ handlers }) { handlers.push({ requestPath: '/a.B/C' + ++n }); }"],
    ["default", "let n = 0; export default ({ handlers }) => { handlers.push({ requestPath: '/a.B/C' + ++n }); };"],
  ])("takes what it exports as %s, and calls it once", async (name, content) => {
    const { routes } = await loadWith(`${name}.js`, content);
    for (let at = 0; at < 2; at++) expect(createLocalRoutes(routes!).paths).toEqual(["/a.B/C1"]);
  });

  it.each([
    ["none.js", "export const service = 1;", 'exports service, expected a function as "routes" or as its default'],
    ["throws.js", "throw new Error('no database');", "can't be loaded: no database"],
    ["absent.js", "import 'no-such-package';", "no-such-package"],
    [
      "twice.js",
      "export const routes = ({ handlers }) => void handlers.push({ requestPath: '/a.B/C' }, { requestPath: '/a.B/C' });",
      "the services of twice.js can't be registered: two handlers for /a.B/C",
    ],
    ["fails.js", "export const routes = () => { throw new Error('no key'); };", "can't be registered: no key"],
    ["late.js", "export const routes = async () => { throw new Error('x'); };", "routes() is asynchronous"],
  ])("reports %s at its place", async (module, content, message) => {
    const failure = loadWith(module, content);
    await expect(failure).rejects.toThrow(ConfigError);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toMatchObject({ problems: [{ line: 3, column: 9, length: module.length }] });
  });
});
