import { describe, expect, it } from "vitest";
import { type EndpointSlice, endpointsOf } from "../../src/discovery/endpoint-slices.ts";
import { endpointSlice, type PodShape } from "../support/kubernetes.ts";

const grpc = { port: "grpc", secure: false };

function slice(pods: PodShape[], more: object = {}): EndpointSlice {
  return endpointSlice("users-abcde", pods, more as Record<string, unknown>) as unknown as EndpointSlice;
}

describe("endpointsOf()", () => {
  it("takes what is ready, with the pod's name, its zone and its node", () => {
    const slices = [
      slice([
        { address: "10.1.0.2", zone: "eu-1a" },
        { address: "10.1.0.3", ready: false },
      ]),
      slice([{ address: "10.1.0.1", name: "users-7d5f" }]),
    ];
    expect(endpointsOf(slices, grpc)).toEqual([
      { url: "http://10.1.0.1:50051", name: "users-7d5f", labels: { node: "node-a" } },
      { url: "http://10.1.0.2:50051", name: "pod-10.1.0.2", labels: { zone: "eu-1a", node: "node-a" } },
    ]);
  });

  it("takes conditions that are unknown for good", () => {
    const endpoints = [{ addresses: ["10.1.0.1"] }, { addresses: ["10.1.0.2"], conditions: { ready: null } }];
    expect(endpointsOf([slice([], { endpoints })], grpc).map((one) => (one as { url: string }).url)).toEqual([
      "http://10.1.0.1:50051",
      "http://10.1.0.2:50051",
    ]);
  });

  it("takes those that still serve while they are being ended, if no other is left", () => {
    const ending = { ready: false, serving: true, terminating: true };
    const urls = (pods: PodShape[]) => endpointsOf([slice(pods)], grpc).map((one) => (one as { url: string }).url);
    const gone = { address: "10.1.0.3", ready: false, serving: false, terminating: true };
    expect(urls([{ address: "10.1.0.1" }, { address: "10.1.0.2", ...ending }])).toEqual(["http://10.1.0.1:50051"]);
    expect(urls([{ address: "10.1.0.2", ...ending }, gone])).toEqual(["http://10.1.0.2:50051"]);
    expect(urls([gone])).toEqual([]);
  });

  it("counts a pod once that has both kinds of address, or stands in two slices", () => {
    const pod = { address: "10.1.0.1" };
    const six = slice([{ address: "fd00::1" }], { addressType: "IPv6" });
    expect(endpointsOf([six, slice([pod]), slice([pod])], grpc).length).toBe(1);
    expect(endpointsOf([six, slice([])], grpc)).toMatchObject([{ url: "http://[fd00::1]:50051" }]);
  });

  it("takes a port by name, by number, or the only one", () => {
    const url = (port: string | number | undefined, ports?: object[]) =>
      (
        endpointsOf([slice([{ address: "10.1.0.1" }], ports && { ports })], { port, secure: true })[0] as {
          url: string;
        }
      ).url;
    expect(url("metrics")).toBe("https://10.1.0.1:9090");
    expect(url(50_051)).toBe("https://10.1.0.1:50051");
    expect(url(undefined, [{ name: "", port: 8_080, protocol: "TCP" }])).toBe("https://10.1.0.1:8080");
    expect(url(1_234, [])).toBe("https://10.1.0.1:1234");
  });

  it("leaves out pods that don't have the port, which are in slices of their own", () => {
    const other = slice([{ address: "10.1.0.2" }], { ports: [{ name: "http", port: 8_080, protocol: "TCP" }] });
    const none = slice([{ address: "10.1.0.3" }], { ports: null });
    const slices = [none, slice([{ address: "10.1.0.1" }]), other];
    expect(endpointsOf(slices, grpc)).toMatchObject([{ url: "http://10.1.0.1:50051" }]);
    expect(endpointsOf([other, none], { port: 8_080, secure: false })).toMatchObject([
      { url: "http://10.1.0.2:8080" },
      { url: "http://10.1.0.3:8080" },
    ]);
    expect(() => endpointsOf([other, none], grpc)).toThrow("no port grpc");
  });

  it("says which ports there are where one isn't", () => {
    const message = "endpoint slice users-abcde, where pods have: grpc=50051, metrics=9090";
    expect(() => endpointsOf([slice([{ address: "10.1.0.1" }])], { port: 80, secure: false })).toThrow(
      `no port 80 in ${message}`,
    );
    expect(() => endpointsOf([slice([{ address: "10.1.0.1" }])], { port: undefined, secure: false })).toThrow(message);
    expect(endpointsOf([slice([])], { port: 80, secure: false })).toEqual([]);
  });
});
