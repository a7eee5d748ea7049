import { expect, test } from "vitest";
import { LogBuffer } from "./lines";
import { plainText } from "./plain-text";

function lines(log: LogBuffer): string[] {
  return Array.from({ length: log.end - log.start }, (_, index) => plainText(log.line(log.start + index)));
}

test.each([
  ["lines", ["one\n", "two\n"], ["one", "two"]],
  ["several lines in one message", ["one\ntwo\n\nfour\n"], ["one", "two", "", "four"]],
  ["a message without an end", ["one", "two\n"], ["one", "two"]],
  ["a line that overwrites itself", ["10%\r", "50%\r", "done\n", "next\n"], ["done", "next"]],
  ["the same within one message", ["10%\r50%\rdone\nnext\n"], ["done", "next"]],
  ["a shorter line leaves nothing behind", ["100 of 200\r", "ok\n"], ["ok"]],
  ["a carriage return with a line feed", ["one\r\n", "two\r\n"], ["one", "two"]],
  ["the two in different messages", ["one\r", "\n", "two\n"], ["one", "two"]],
  ["a carriage return at the beginning", ["\r10%", "\r20%\r", "\rdone\n"], ["10%", "done"]],
  ["colours", ["\u001b[1;31mred\u001b[0m\n"], ["red"]],
  ["a link in a terminal", ["\u001b]8;;https://x.example\u0007text\u001b]8;;\u0007\n"], ["text"]],
  ["other control characters, but tabs", ["a\u0007\u0008\tb\u0000\n"], ["a\tb"]],
  ["markup is text", ["<img src=x onerror=alert(1)>\n"], ["<img src=x onerror=alert(1)>"]],
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
