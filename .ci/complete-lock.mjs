// Adds to package-lock.json the optional packages of other platforms that its parents name and that it lacks: a registry that
// doesn't serve them makes `npm install` leave them out, and `npm ci` then refuses the lock. Run it after `npm install`.
import { readFileSync, writeFileSync } from "node:fs";

const file = "package-lock.json";
const lock = JSON.parse(readFileSync(file, "utf8"));
const added = [];
for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || lock.packages[`${path}/${key}`] !== undefined) continue;
    lock.packages[key] = { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true };
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? "the lock is complete" : `added ${added.join(", ")}`);

/** What a platform package's name says of it: "@deno/linux-arm64-glibc". */
function platformOf(name) {
  const os = /(android|darwin|linux|win32|freebsd|openbsd|netbsd|sunos|aix|openharmony)/.exec(name)?.[1];
  const cpu = /(arm64|aarch64|armv7|x64|x86_64|arm|ia32|ppc64|riscv64|s390x)/.exec(name.slice(name.indexOf("/")))?.[1];
  const libc = /(musl|glibc)/.exec(name)?.[1];
  const cpuName = { aarch64: "arm64", armv7: "arm", x86_64: "x64" }[cpu] ?? cpu;
  return {
    ...(os === undefined ? {} : { os: [os] }),
    ...(cpu === undefined ? {} : { cpu: [cpuName] }),
    ...(libc === undefined ? {} : { libc: [libc] }),
  };
}
