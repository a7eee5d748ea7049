// @vitest-environment happy-dom
// The documentation agrees with the code.
import { expect, test } from "vitest";
import docs from "../../../docs/element.md?raw";
import { BinderProgressElement } from "./element";
import style from "./element.css?raw";
import earlier from "./earlier.ts?raw";
import ending from "./ending.ts?raw";
import logTemplate from "../log/template.ts?raw";
import logStyle from "../log/log-view.css?raw";
import running from "./running.ts?raw";
import template from "./template.ts?raw";

/** The names in the first column of a table. */
function documented(column: string): string[] {
  const [, rows = ""] = docs.split(new RegExp(`^\\| ${column} \\|.*\\n\\|[-|]+\\n`, "m"));
  const first = rows.split("\n\n")[0]!.split("\n").map((row) => row.split("|")[1] ?? "");
  return first.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}

test("attributes", () => {
  const observed = [...BinderProgressElement.observedAttributes];
  expect(documented("attribute").sort()).toEqual(observed.sort());
});

test("custom properties", () => {
  const used = [...`${style}${logStyle}`.matchAll(/--binder-progress-[\w-]+/g)].map(([name]) => name);
  expect(documented("custom property").sort()).toEqual([...new Set(used)].sort());
});

test("parts", () => {
  const marked = [template, running, earlier, ending, logTemplate].join("").matchAll(/\bpart="([^"]+)"/g);
  // The box of the log's rows is not in a template.
  const used = ["log-box", ...[...marked].flatMap(([, names]) => names!.split(" "))];
  const named = docs.match(/also (`launch`.*?) \|/)![1]!.matchAll(/`([^`]+)`/g);
  const all = [...documented("part"), ...[...named].map(([, name]) => name!)];
  expect([...new Set(all)].sort()).toEqual([...new Set(used)].sort());
});
