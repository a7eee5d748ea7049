import { expect, test } from "vitest";
import { severityOf } from "./severity";

test.each([
  ["ERROR: Could not find a version that satisfies the requirement x", "error"],
  ["  error: subprocess-exited-with-error", "error"],
  ["E: Unable to locate package x", "error"],
  ["npm ERR! code ENOENT", "error"],
  ["fatal: repository not found", "error"],
  ["Traceback (most recent call last):", "error"],
  ["ModuleNotFoundError: No module named 'x'", "error"],
  ["gcc: error: x.c: No such file or directory", "error"],
  ["[ERROR] x", "error"],
  ["12:01:02 [repo2docker] [error] x", "error"],
  ["WARNING: Running pip as the 'root' user", "warning"],
  ["W: Some index files failed to download", "warning"],
  ["x.py:3: DeprecationWarning: y", "warning"],
  ["npm WARN deprecated x@1", "warning"],
  ["Collecting exceptiongroup", undefined],
  ["Downloading pytest-error-for-skips-2.0.tar.gz", undefined],
  ["Get:1 http://deb.debian.org liberror-perl", undefined],
  ["0 errors, 0 warnings", undefined],
  ["", undefined],
])("%s: %s", (line, expected) => {
  expect(severityOf(line)).toBe(expected);
});
