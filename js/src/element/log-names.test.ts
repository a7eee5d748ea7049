import { expect, test } from "vitest";
import { lineRange, logName } from "./log-names";

test.each([
  ["10", [10, 10]],
  [10, [10, 10]],
  ["L10", [10, 10]],
  ["10-20", [10, 20]],
  ["L10-L20", [10, 20]],
  ["20-10", [10, 20]],
  [0, undefined],
  ["", undefined],
  ["0-5", undefined],
  ["-5", undefined],
  ["1e3", undefined],
  [Number.NaN, undefined],
])("lines of %j", (text, expected) => {
  expect(lineRange(text)).toEqual(expected);
});

test.each([
  ["gh/binder-examples/requirements/HEAD", "", "binder-examples-requirements-HEAD.log"],
  ["gh/binder-examples/requirements/HEAD", "0123456789abcdef", "binder-examples-requirements-0123456.log"],
  ["git/https%3A%2F%2Fgit.example%2Fa%2Fb.git/main", "", "git.example-a-b.git-main.log"],
  ["zenodo/10.5281/zenodo.3242074", "", "10.5281-zenodo.3242074.log"],
  ["git/100%/main", "", "100-main.log"],
  ["", "", "build.log"],
])("the log of %s at %s is %s", (spec, commit, expected) => {
  expect(logName(spec, commit)).toBe(expected);
});
