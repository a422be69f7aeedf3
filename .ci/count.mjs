/**
 * Prints "PASSED FAILED [NOTE]" for one stage of CI: `node count.mjs OK REPORT LOG`, where OK is true if its command
 * succeeded, REPORT is vitest's JSON report and may not exist, and LOG is what the command printed.
 */
import { existsSync, readFileSync } from "node:fs";

const [ok, reportFile, logFile] = process.argv.slice(2);
const log = readFileSync(logFile, "utf8");
let passed = 0;
let failed = 0;
const notes = [];

if (existsSync(reportFile)) {
  const report = JSON.parse(readFileSync(reportFile, "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  // A file that cannot even be loaded has no test that could fail.
  failed += report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.length,
  ).length;
  const skipped = report.numPendingTests + report.numTodoTests;
  if (skipped > 0) notes.push(`${skipped} skipped`);
} else if (ok === "true") {
  passed = 1;
}

// The suites that other programs run within one of our tests: h2spec and the Connect conformance runner.
const inner = [
  /(?<passed>\d+) passed, (?<skipped>\d+) skipped, (?<failed>\d+) failed/g,
  /^\s*(?<passed>\d+) passed, (?<failed>\d+) failed/gm,
];
for (const { groups } of inner.flatMap((pattern) => [...log.matchAll(pattern)])) {
  passed += Number(groups.passed);
  failed += Number(groups.failed);
}

if (ok !== "true" && failed === 0) failed = 1;
console.log(passed, failed, notes.join(", "));
