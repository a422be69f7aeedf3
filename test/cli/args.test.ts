import { describe, expect, it } from "vitest";
import { parseCommand, UsageError } from "../../src/cli/args.ts";

const words = (line: string) => line.split(" ").filter((word) => word !== "");

describe("parseCommand()", () => {
  const nothing = {
    config: undefined,
    listen: [],
    to: [],
    upstream: {},
    cors: [],
    logLevel: undefined,
    accessLog: undefined,
    watch: true,
    workers: undefined,
  };

  it.each([
    ["", { ...nothing, name: "serve" }],
    ["serve -c a.yaml", { ...nothing, name: "serve", config: "a.yaml" }],
    [
      "--config=a.yaml --listen :80 -l [::1]:0",
      { ...nothing, name: "serve", config: "a.yaml", listen: [":80", "[::1]:0"] },
    ],
    ["--to http://a:1 -t https://b", { ...nothing, name: "serve", to: ["http://a:1", "https://b"] }],
    [
      "--to http://a --protocols grpc_web,connect --http 1.1 --schema api.binpb",
      {
        ...nothing,
        name: "serve",
        to: ["http://a"],
        upstream: { protocols: ["grpc_web", "connect"], http: "1.1", schema: "api.binpb" },
      },
    ],
    [
      "-c a.yaml --cors https://a.example --cors null",
      { ...nothing, name: "serve", config: "a.yaml", cors: ["https://a.example", "null"] },
    ],
    ["demo --cors *", { ...nothing, name: "demo", cors: ["*"] }],
    ["--to http://a -w 2", { ...nothing, name: "serve", to: ["http://a"], workers: 2 }],
    ["-c a.yaml --workers auto", { ...nothing, name: "serve", config: "a.yaml", workers: "auto" }],
    ["-c a.yaml --no-watch", { ...nothing, name: "serve", config: "a.yaml", watch: false }],
    ["--no-access-log --log-level debug", { ...nothing, name: "serve", accessLog: "off", logLevel: "debug" }],
    ["demo --access-log pretty", { ...nothing, name: "demo", accessLog: "pretty" }],
    ["--access-log json demo", { ...nothing, name: "demo", accessLog: "json" }],
    ["check", { name: "check", config: undefined }],
    ["check --config a.yaml", { name: "check", config: "a.yaml" }],
    ["init", { name: "init", file: undefined }],
    ["init a.yaml", { name: "init", file: "a.yaml" }],
    ["serve --help", { name: "help" }],
    ["-v", { name: "version" }],
  ])("reads %j", (line, command) => {
    expect(parseCommand(words(line))).toEqual(command);
  });

  it.each([
    ["serv", 'unknown command "serv"\n  did you mean "serve"?'],
    ["constructor", 'unknown command "constructor"\n  known: serve, demo, check, reload, restart, init'],
    ["--listn :80", 'unknown option "--listn"\n  did you mean "--listen"?'],
    ["serve now", 'unexpected argument "now"'],
    ["init a b", 'unexpected argument "b"'],
    ["check --to http://a", '"--to" is not an option of check'],
    ["demo -c a.yaml", '"-c" is not an option of demo'],
    ["--listen", '"--listen" needs a value'],
    ["--listen --to http://a", '"--listen" needs a value'],
    ["--config=", '"--config" needs a value'],
    ["--no-access-log=yes", '"--no-access-log" takes no value'],
    ["--listen 80", '--listen: not an address: "80"\n  did you mean "127.0.0.1:80", or ":80" for all interfaces?'],
    ["--to localhost:50051", '--to: not a URL: "localhost:50051"\n  did you mean "http://localhost:50051"?'],
    [
      "--to http://a --config b",
      '"--to" is for the case without a file: with "--config", give upstreams and routes there',
    ],
    ["--to http://a --protocols grpc-web", '--protocols: unknown value "grpc-web"\n  did you mean "grpc_web"?'],
    ["--to http://a --protocols grpc,", '--protocols: unknown value ""\n  known: grpc, grpc_web, connect'],
    ["--to http://a --protocols grpc,grpc", '--protocols: "grpc" is given twice'],
    ["--to http://a --http 3", '--http: unknown value "3"\n  known: 2, 1.1'],
    [
      "--to http://a --http 1.1",
      "--http 1.1: grpc can't be spoken over HTTP/1.1\n  give --protocols grpc_web, or connect",
    ],
    ["--schema reflection", '"--schema" is said of the servers that "--to" names: in a file, give schema there'],
    [
      "--cors app.example.com",
      '--cors: not an origin: "app.example.com"\n  give the scheme, such as "https://app.example.com"',
    ],
    ["--log-level inof", '--log-level: unknown value "inof"\n  did you mean "info"?'],
    ["--access-log xml", '--access-log: unknown value "xml"\n  known: auto, pretty, json, off'],
  ])("refuses %j", (line, message) => {
    expect(() => parseCommand(words(line))).toThrow(new UsageError(message));
  });
});
