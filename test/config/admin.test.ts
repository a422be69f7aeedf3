import { describe, expect, it } from "vitest";
import { masked } from "../../src/config/admin.ts";
import { loadConfig } from "../../src/config/load.ts";

const load = (text: string, files: Record<string, string> = {}) =>
  loadConfig("manifold.yaml", (path) => {
    const name = path.split("/").at(-1)!;
    const content = name === "manifold.yaml" ? text : files[name];
    if (content === undefined) throw Object.assign(new Error("absent"), { code: "ENOENT" });
    return Buffer.from(content);
  });

const routes = "routes: [{ refuse: { code: aborted } }]";

describe("admin", () => {
  it.each([
    ["{}", {}],
    ["{ address: localhost:1 }", {}],
    ['{ address: "[::1]:1" }', {}],
    ["{ address: 127.8.9.1:1 }", {}],
    ["{ address: 0.0.0.0:1, token_file: token }", { token: "0123456789abcdef\n" }],
  ])("takes %s", async (admin, files) => {
    const { adminToken } = await load(`admin: ${admin}\n${routes}`, files);
    expect(adminToken).toBe("token" in files ? "0123456789abcdef" : undefined);
  });

  it.each<[admin: string, files: Record<string, string>, message: string]>([
    ["{ address: 0.0.0.0:1 }", {}, "admin needs a token_file where other machines reach it"],
    ['{ address: ":1" }', {}, "admin needs a token_file where other machines reach it"],
    ["{ address: 10.0.0.1:1 }", {}, "admin needs a token_file where other machines reach it"],
    ["{ address: 127.0.0.1.example:1 }", {}, "admin needs a token_file where other machines reach it"],
    ["{ token_file: token }", {}, "no such file: token"],
    ["{ token_file: token }", { token: "short" }, "the token in token is too short: at least 16 characters"],
    ["{ token_file: token }", { token: "0123456789 abcdef" }, "token holds no token: one line of visible characters"],
    [
      "{ address: 127.0.0.1:8080 }\nlisteners: [{ address: 127.0.0.1:8080 }]",
      {},
      "address 127.0.0.1:8080 is listened on twice",
    ],
  ])("refuses %s with %j", async (admin, files, message) => {
    await expect(load(`admin: ${admin}\n${routes}`, files)).rejects.toThrow(message);
  });
});

describe("masked()", () => {
  it("hides what looks like a secret, and nothing else", () => {
    expect(
      masked({
        admin: { token_file: "token" },
        upstreams: { users: { endpoints: ["http://user:word@a:1", { url: "https://b:1" }], tls: { key: "a.key" } } },
        routes: [
          {
            match: { authority: "a.example" },
            add_headers: {
              Authorization: "a",
              "x-auth-token": "a",
              cookie: ["a", "b"],
              "x-api-key": "a",
              "x-stage": "a",
            },
            timeout: 7,
          },
        ],
      }),
    ).toEqual({
      admin: { token_file: "token" },
      upstreams: { users: { endpoints: ["http://***@a:1", { url: "https://b:1" }], tls: { key: "a.key" } } },
      routes: [
        {
          match: { authority: "a.example" },
          add_headers: {
            Authorization: "***",
            "x-auth-token": "***",
            cookie: ["***", "***"],
            "x-api-key": "***",
            "x-stage": "a",
          },
          timeout: 7,
        },
      ],
    });
  });
});
