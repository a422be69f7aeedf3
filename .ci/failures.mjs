/**
 * Prints what failed in one stage of CI, in a few lines for each test: `node failures.mjs REPORT LOG`, where REPORT is vitest's JSON
 * report, and the end of LOG is printed where there is none, or none that names a failure. Whole logs are in test/.cache/ci.
 */
import { existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

const maxLines = 20;
const maxLength = 300;

const [reportFile, logFile] = process.argv.slice(2);
const { testResults } = existsSync(reportFile) ? JSON.parse(readFileSync(reportFile, "utf8")) : { testResults: [] };
const failures = testResults
  .filter(({ status }) => status === "failed")
  .flatMap(({ name, message, assertionResults }) => [
    ...(assertionResults.length === 0 ? [{ fullName: name, failureMessages: [message] }] : []),
    ...assertionResults.filter(({ status }) => status === "failed"),
  ]);

for (const { fullName, failureMessages } of failures) {
  console.log(`  FAILED ${fullName}`);
  print(linesOf(failureMessages.join("\n")).slice(0, maxLines));
}
if (failures.length === 0) print(linesOf(readFileSync(logFile, "utf8")).slice(-2 * maxLines));

function linesOf(text) {
  return stripVTControlCharacters(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
}

function print(lines) {
  for (const line of lines) console.log(`    ${line.slice(0, maxLength)}`);
}
