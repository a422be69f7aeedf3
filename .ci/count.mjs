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

// h2spec and the Connect conformance runner have cases of their own within one of our tests, which print what they counted.
const inner =
  /(?:h2spec on \w+ over \w+|through Manifold on \w+): (?<passed>\d+) of (?<total>\d+)(?:, (?<skipped>\d+) skipped|, (?<listed>\d+) exceptions)?/g;
for (const { groups } of log.matchAll(inner)) {
  const left = groups.total - groups.passed - Number(groups.skipped ?? groups.listed ?? 0);
  passed += Number(groups.passed);
  failed += left;
  if (groups.skipped > 0) notes.push(`${groups.skipped} cases skipped`);
}

if (ok !== "true" && failed === 0) failed = 1;
console.log(passed, failed, notes.join(", "));
