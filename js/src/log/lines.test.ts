import { expect, test } from "vitest";
import cases from "../../../tests/data/terminal.json";
import { LogBuffer } from "./lines";
import { plainText } from "./plain-text";

function lines(log: LogBuffer): string[] {
  return Array.from({ length: log.end - log.start }, (_, index) => plainText(log.line(log.start + index)));
}

test.each(cases)("as in Python: $name", ({ messages, lines: expected }) => {
  const log = new LogBuffer();
  messages.forEach((message) => log.write(message));
  expect(lines(log)).toEqual(expected);
});

test.each([
  ["a message without an end", ["one", "two\n"], ["one", "two"]],
  ["a carriage return at the beginning", ["\r10%", "\r20%\r", "\rdone\n"], ["10%", "done"]],
  ["what is below is erased", ["one\ntwo\nthree\n", "\u001b[2A\u001b[J", "zwei\n"], ["one", "zwei"]],
  ["a move without text at the end", ["one\n\u001b[?25h", "two\n"], ["one", "two"]],
])("%s", (_, messages, expected) => {
  const log = new LogBuffer();
  messages.forEach((message) => log.write(message));
  expect(lines(log)).toEqual(expected);
});

test("a line is truncated after one mebibyte", () => {
  const log = new LogBuffer();
  log.write(`${"x".repeat(3_000_000)}\n`);
  log.write("next\n");
  expect(log.line(0)).toBe("x".repeat(2 ** 20));
  expect(log.line(1)).toBe("next");
});

test("a short line of a long message is the same text", () => {
  const log = new LogBuffer();
  log.write(`${"x".repeat(1000)}\r\uFEFFžluť 🎈\n`);
  expect(log.line(0)).toBe("\uFEFFžluť 🎈");
});

test("the number of characters is bounded", () => {
  const log = new LogBuffer(100, 10);
  log.write("12345\n");
  log.write("1234567890\r");
  expect([log.start, log.end]).toEqual([1, 2]);
  // Overwritten lines free space.
  log.write("123\n");
  log.write("4567\n");
  expect(lines(log)).toEqual(["123", "4567"]);
  log.write("89ab\n");
  expect(lines(log)).toEqual(["4567", "89ab"]);
  expect(log.line(0)).toBe("");
});

test("the newest lines are kept, with their numbers", () => {
  const log = new LogBuffer(3);
  for (let number = 0; number < 10; number += 1) log.write(`line ${number}\n`);
  expect([log.start, log.end]).toEqual([7, 10]);
  expect(lines(log)).toEqual(["line 7", "line 8", "line 9"]);
});

test("the cursor moves up a limited number of lines", () => {
  const log = new LogBuffer();
  for (let number = 0; number < 2000; number += 1) log.write(`line ${number}\n`);
  log.write("\u001b[1999Achanged\n");
  expect([log.line(0), log.line(1499), log.line(1500)]).toEqual(["line 0", "line 1499", "changed"]);
});

test("colours are kept where the cursor moves", () => {
  const log = new LogBuffer();
  log.write("\u001b[31ma\u001b[0m|\b\u001b[32mb\u001b[0m\n");
  expect(log.line(0)).toBe("\u001b[31ma\u001b[0m\u001b[32mb\u001b[0m");
});

test("tells which lines have changed, and when they were written", () => {
  const log = new LogBuffer();
  log.write("one\n", 10);
  log.write("two\n", 11);
  expect([log.revision, log.changedSince(0), log.time(1), log.time(7)]).toEqual([0, Infinity, 11, 0]);
  log.write("\u001b[1Atwo again\n", 12);
  const { revision } = log;
  expect([log.changedSince(0), log.changedSince(revision), log.time(1)]).toEqual([1, Infinity, 12]);
  log.write("\u001b[2Aone again\n", 13);
  expect([log.changedSince(0), log.changedSince(revision)]).toEqual([0, 0]);
});

/** Numbers that look random, and are the same in each run (a linear congruential generator). */
function* random(seed: number): Generator<number> {
  for (let state = seed; ; state = (state * 1_103_515_245 + 12_345) % 2 ** 31) yield state / 2 ** 31;
}

test("any sequence leaves a valid log, and each change is told", () => {
  const parts = ["a", "line", "\n", "\r", "\r\n", "\b", "\t", "é", "\u001b[", "\u009b", "A", "2K", "J", "5A", "3B", "D", "G", "31m", "0m", "\u001b]8;;https://x.example\u0007"];
  const next = random(1);
  const pick = (count: number) => Math.floor(next.next().value! * count);
  for (let run = 0; run < 200; run += 1) {
    const log = new LogBuffer(20, 200);
    for (let message = 0; message < 50; message += 1) {
      const before = new Map(Array.from({ length: log.end - log.start }, (_, index) => [log.start + index, log.line(log.start + index)]));
      const { revision, end } = log;
      log.write(Array.from({ length: pick(12) }, () => parts[pick(parts.length)]).join(""));
      expect(log.end - log.start).toBeLessThanOrEqual(20);
      const changed = log.changedSince(revision);
      for (const [number, line] of before) {
        if (number >= log.start && number < Math.min(end, changed)) expect(log.line(number)).toBe(line);
      }
      expect(lines(log).join("")).not.toMatch(/[\n\r]/);
    }
  }
});
