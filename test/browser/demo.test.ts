/** The demo's page in a real Chromium, on every runtime: its buttons make calls, and its table tells how they went. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasChromium, startChromium } from "../support/chromium.ts";
import { type Program, start } from "../support/program.ts";
import { commandOn, root, runtimesUnderTest } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

let browser: Browser;
const ready = hasChromium();
beforeAll(async () => {
  if (ready) browser = await startChromium();
});
afterAll(() => browser?.close());

describe.skipIf(!ready).each(runtimesUnderTest())("the demo's page on %s", (runtime) => {
  const command = commandOn(runtime);
  const argv = "argv" in command ? command.argv : [];
  let program: Program;
  let page: Page;
  /** What a browser complains of: errors of scripts, what the policy forbids, files that aren't there. */
  const complaints: string[] = [];
  beforeAll(async () => {
    program = start([...argv, "demo", "--listen", "127.0.0.1:0"], { cwd: root });
    const listening = () => /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(program.stdout())?.[1];
    const url = await until("demo to listen", listening, 30_000);
    page = await browser.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(url);
  });
  afterAll(async () => {
    await page?.close();
    expect(await program?.stop()).toBe(0);
  });

  /** Presses a button, waits for so many rows whose call is over, and reads them: method, protocol, status, reply. */
  async function press(button: string, rows: number, options: { whileOpen?: () => Promise<void> } = {}) {
    await page
      .getByRole("button", { name: "Clear" })
      .click({ force: true })
      .catch(() => {});
    await page.getByRole("button", { name: button, exact: true }).click();
    await options.whileOpen?.();
    const done = page.locator("#calls tr", { has: page.locator("td.ok, td.bad") });
    await done.nth(rows - 1).waitFor();
    const cells = await done.evaluateAll((found) =>
      found.map((row) => [...row.children].map((cell) => cell.textContent ?? "")),
    );
    return cells.map(([, method, protocol, server, status, first, time, reply]) => {
      return { method, protocol, server, status, first, time, reply };
    });
  }

  const serverCounts = () => page.locator("#servers b").allTextContents();

  it.each([
    ["Connect", "connect"],
    ["gRPC-Web", "grpc_web"],
  ])("calls by %s", async (protocol, value) => {
    await page.locator(`input[value=${value}]`).check();
    const greetings = await press("Call 9 times", 9);
    expect(greetings.every((row) => row.status === "ok" && row.reply === "Hello, Ada!")).toBe(true);
    expect(new Set(greetings.map((row) => row.protocol))).toEqual(new Set([protocol]));
    expect(await serverCounts()).toEqual(["3", "3", "3"]);
    const order = greetings.map((row) => row.server);
    expect(new Set(order.slice(0, 3))).toEqual(new Set(["demo-1", "demo-2", "demo-3"]));
    expect(order.slice(3, 6)).toEqual(order.slice(0, 3));
    await page.getByLabel("Interval").fill("20");
    const [counted] = await press("Start", 1);
    expect(counted).toMatchObject({ status: "ok", reply: "10 9 8 7 6 5 4 3 2 1" });
    expect(counted?.time).toMatch(/^\d+(\.\d+)? m?s$/);
    const [failed] = await press("Ask for an error", 1);
    expect(failed).toMatchObject({ status: "invalid_argument", reply: "from must be 1 to 1000, not 0" });
    expect(failed?.server).toMatch(/^demo-[123]$/);
    await page.getByLabel("Interval").fill("10000");
    await page.getByLabel("Deadline").fill("200");
    expect(await press("Start", 1)).toMatchObject([{ status: "deadline_exceeded" }]);
    await page.getByLabel("Deadline").fill("");
    const cancel = async () => {
      await page.locator("#calls td", { hasText: /^10$/ }).waitFor();
      await page.getByRole("button", { name: "Cancel" }).click();
    };
    expect(await press("Start", 1, { whileOpen: cancel })).toMatchObject([{ status: "canceled" }]);
  });

  it.each(["connect", "grpc_web"])(
    "asks all servers at once by %s, and shows each answer as it lands",
    async (value) => {
      await page.locator(`input[value=${value}]`).check();
      await page.getByLabel("One that fails").selectOption("demo-2");
      await page.getByLabel("Delay").fill("400");
      const answers = async () =>
        (await page.locator("#answers li").allInnerTexts()).map((text) => text.replaceAll(/\s+/g, " "));
      let early: string[] = [];
      const whileOpen = async () => {
        await page.locator("#answers li.ok").first().waitFor();
        early = await answers();
      };
      const [row] = await press("Ask all", 1, { whileOpen });
      expect(early[0]).toMatch(/^demo-1 \S+ m?s \d+ calls? in \d+ seconds?$/);
      expect(early[2]).toBe("demo-3 …"); // 800 ms later
      expect(row).toMatchObject({ method: "GetStats", server: "3 servers", status: "ok" });
      expect(row?.reply).toBe("demo-1 ok, demo-2 failed, demo-3 ok");
      const [first, second, third] = await answers();
      expect(first).toBe(early[0]);
      expect(second).toMatch(/^demo-2 \S+ m?s unavailable: demo-2 was asked to fail$/);
      expect(third).toMatch(/^demo-3 1\.\d+ s \d+ calls? in \d+ seconds?$/);
      expect(await serverCounts()).toEqual(["1", "1", "1"]);
      await page.getByLabel("One that fails").selectOption("none");
      await page.getByLabel("Delay").fill("0");
      expect(await press("Ask all", 1)).toMatchObject([{ status: "ok", reply: expect.not.stringContaining("failed") }]);
      expect(await page.locator("#answers li.ok").count()).toBe(3);
    },
  );

  it("gives the browser nothing to complain of", () => {
    const answers = complaints.filter((text) => !/status of (400|504)/.test(text)); // Connect's own statuses
    expect(answers).toEqual([]);
  });
});
