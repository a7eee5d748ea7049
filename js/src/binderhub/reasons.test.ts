import { expect, test } from "vitest";
import cases from "../../../tests/data/reasons.json";
import { diagnose, diagnosisOf, plain } from "./reasons";

test.each(cases.cases)("as in Python: $name", ({ log, reason, subject, message, rule }) => {
  for (const lines of [[log], log.split(/(?<=\n)/)]) {
    const found = diagnose(lines, "build-failed");
    expect(found).toMatchObject({ reason, subject, message, rule });
    expect(found.advice).toMatch(/^\S.*\.$/);
    const shown = log.split(/[\r\n]+/).map((line) => plain(line).trim());
    expect(found.evidence).not.toEqual([]);
    expect(shown).toEqual(expect.arrayContaining(found.evidence));
  }
});

test.each(cases.plain)("plain text, as in Python: $name", ({ given, plain: expected }) => {
  expect(plain(given)).toBe(expected);
});

test("all lines of a wrapped message are evidence", () => {
  const { log } = cases.cases.find(({ name }) => name === "uv, older, wrapped")!;
  expect(diagnose([log, "uv exited with status 1."]).evidence).toEqual([
    "× No solution found when resolving dependencies:",
    "╰─▶ Because six==99.99 was not found in the package registry and you",
    "require six==99.99, we can conclude that your requirements are",
  ]);
});

test("the last lines are the evidence if no line matches", () => {
  const lines = Array.from({ length: 20 }, (_, count) => `line ${count}\n`);
  expect(diagnose(lines, "build-failed")).toEqual({
    ...diagnosisOf("build-failed"),
    evidence: ["line 14", "line 15", "line 16", "line 17", "line 18", "line 19"],
  });
  expect(diagnose(["\n", "\u001b[0m"])).toMatchObject({ reason: "unknown", evidence: [] });
});

test("attack: a name from a log stands in a sentence of ours as it is, and short", () => {
  const found = diagnose(["No matching distribution found for $&{subject}$'\n"]);
  expect(found.message).toBe("The requirement $&{subject}$ cannot be satisfied.");
  const long = diagnose([`No matching distribution found for ${"😀".repeat(500)}\n`]);
  expect(long.subject).toBe(`${"😀".repeat(100)}…`);
  expect(diagnose(["No matching distribution found for ''.\n"]).subject).toBe("");
});

test("attack: what stands beyond 2000 characters is not read", () => {
  expect(diagnose([`${"x".repeat(2000)} No space left on device`]).reason).toBe("unknown");
});
