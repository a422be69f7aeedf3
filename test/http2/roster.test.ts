import { describe, expect, it } from "vitest";
import { type Member, Roster } from "../../src/http2/roster.ts";

interface Named extends Member {
  name: string;
}

function rosterOf(names: string): { roster: Roster<Named>; members: Named[] } {
  const roster = new Roster<Named>();
  const members = [...names].map((name) => ({ name, place: -1 }));
  for (const member of members) roster.add(member);
  return { roster, members };
}

function namesOf(roster: Roster<Named>): string {
  return roster
    .all()
    .map(({ name }) => name)
    .sort()
    .join("");
}

describe("Roster", () => {
  it.each([
    ["first", 0, "bcd"],
    ["middle", 1, "acd"],
    ["last", 3, "abc"],
  ])("loses its %s member alone", (_, at, left) => {
    const { roster, members } = rosterOf("abcd");
    roster.delete(members[at]!);
    expect(namesOf(roster)).toBe(left);
    expect(roster.size).toBe(3);
    expect(members[at]!.place).toBe(-1);
  });

  it("loses all, in whatever order, one that has taken another's place too", () => {
    const { roster, members } = rosterOf("abcde");
    for (const at of [1, 4, 0, 3, 2]) roster.delete(members[at]!);
    expect(roster.size).toBe(0);
    expect(members.every(({ place }) => place === -1)).toBe(true);
  });

  it("leaves the others alone where one is deleted twice, or never was in it", () => {
    const { roster, members } = rosterOf("abc");
    roster.delete(members[0]!);
    roster.delete(members[0]!);
    roster.delete({ name: "d", place: -1 });
    expect(namesOf(roster)).toBe("bc");
  });

  it("takes back one that had left", () => {
    const { roster, members } = rosterOf("ab");
    roster.delete(members[0]!);
    roster.add(members[0]!);
    expect(namesOf(roster)).toBe("ab");
  });

  it("lets members leave while all are walked", () => {
    const { roster } = rosterOf("abc");
    const walked: string[] = [];
    for (const member of roster.all()) {
      walked.push(member.name);
      roster.delete(member);
    }
    expect(walked).toEqual(["a", "b", "c"]);
    expect(roster.size).toBe(0);
  });
});
