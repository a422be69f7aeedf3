/** The demo's page, which calls its servers from a browser: the files in page/, served as they are. */
import { readFileSync } from "node:fs";
import type { HttpAnswer, ServeHttp } from "../../plain-http.ts";
import { packageFile } from "../package.ts";

/** By path. Browsers can't read TypeScript, and this page needs no build: so the files aren't compiled, and stay in src/. */
const files: Record<string, readonly [name: string, type: string]> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/style.css": ["style.css", "text/css; charset=utf-8"],
  "/page.js": ["page.js", "text/javascript; charset=utf-8"],
  "/rpc.js": ["rpc.js", "text/javascript; charset=utf-8"],
};

const headers = [
  ["cache-control", "no-cache"],
  ["x-content-type-options", "nosniff"],
  [
    "content-security-policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
] as const;

/** Answers GET and HEAD of the page and its parts. */
export function demoPage(): ServeHttp {
  const answers = new Map<string, HttpAnswer>();
  for (const [path, [name, type]] of Object.entries(files)) {
    const body = readFileSync(packageFile(`src/cli/demo/page/${name}`));
    answers.set(path, { status: 200, headers: [["content-type", type], ...headers], body });
  }
  return ({ method, path }) => (method === "GET" || method === "HEAD" ? answers.get(path.split("?")[0]!) : undefined);
}
