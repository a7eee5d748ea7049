import { expect, test } from "vitest";
import { LogBuffer } from "../log/lines";
import { evidenceLines, linesBefore } from "./evidence";

test("the last lines with these texts, in their order, with colours or cut", () => {
  const log = new LogBuffer();
  const long = "x".repeat(500);
  for (const line of ["same", "ERROR: one", "same", "\u001b[31mERROR: one\u001b[0m", `${long} two ${long}`, "end"]) {
    log.write(`${line}\n`);
  }
  expect(evidenceLines(log, ["same", "ERROR: one", "…x two x…"])).toEqual([2, 3, 4]);
});

test("a line that is not in the log has no number, and does not hide others", () => {
  const log = new LogBuffer();
  log.write("one\ntwo\n");
  expect(evidenceLines(log, ["two", "0/3 nodes are available"])).toEqual([1, undefined]);
  expect(evidenceLines(log, ["two", "one", "…"])).toEqual([undefined, 0, undefined]);
});

test("a log that has grown is searched again, but only its newest lines", () => {
  const log = new LogBuffer();
  const evidence = ["ERROR"];
  expect(evidenceLines(log, evidence)).toEqual([undefined]);
  log.write("ERROR\n");
  expect(evidenceLines(log, evidence)).toEqual([0]);
  log.write("more\n".repeat(6000));
  expect(evidenceLines(log, evidence)).toEqual([undefined]);
});

test("the lines that led to it, as they are shown, without empty ones", () => {
  const log = new LogBuffer();
  log.write("\u001b[1mStep 1\u001b[0m\n\n  installing\nERROR\nafter\n");
  expect(linesBefore(log, [undefined, 3, 4])).toEqual([
    { line: 0, text: "Step 1" },
    { line: 2, text: "  installing" },
  ]);
  expect(linesBefore(log, [undefined])).toEqual([]);
  log.write("more\n".repeat(100));
  expect(linesBefore(log, [50]).map(({ line }) => line)).toEqual(Array.from({ length: 12 }, (_, index) => 38 + index));
});
