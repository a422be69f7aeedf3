/** Reads the JUnit report that h2spec writes. */

export interface H2specReport {
  total: number;
  passed: number;
  skipped: string[];
  /** Section, title, and what was expected and seen. */
  failed: string[];
}

export function readReport(xml: string): H2specReport {
  const report: H2specReport = { total: 0, passed: 0, skipped: [], failed: [] };
  for (const [, attributes = "", body = ""] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const [, section] = /package="([^"]*)"/.exec(attributes) ?? [];
    const [, title] = /classname="([^"]*)"/.exec(attributes) ?? [];
    report.total++;
    if (body.includes("<skipped")) report.skipped.push(`${section}: ${title}`);
    else if (/<(error|failure)/.test(body)) report.failed.push(`${section}: ${title}: ${textOf(body)}`);
    else report.passed++;
  }
  return report;
}

function textOf(xml: string): string {
  return xml
    .replace(/<[^>]*>/g, "")
    .replace(/&#39;/g, "'")
    .trim()
    .replace(/\s*\n\s*/g, " | ");
}
