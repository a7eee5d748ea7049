import { expect, test } from "vitest";
import cases from "../../../tests/data/instructions.json";
import { commandOf } from "./instructions";

test.each(cases as [string, string][])("%j: %j", (instruction, command) => {
  expect(commandOf(instruction)).toBe(command);
});
