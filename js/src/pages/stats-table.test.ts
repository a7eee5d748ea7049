// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { fillTable } from "./stats-table";

let place: HTMLElement;

beforeEach(() => {
  document.body.innerHTML = "<div><table><thead><tr><th></th><th></th></tr></thead><tbody></tbody></table></div>";
  place = document.querySelector("div")!;
});

test("the first cell of a row is its header, and values are text", () => {
  fillTable(place, [["<b>a</b>", { quantity: "1" }], ["c", { quantity: "2" }]]);
  const [first] = place.querySelectorAll("tbody tr");
  expect(first!.querySelector("th")!.getAttribute("scope")).toBe("row");
  expect(first!.querySelector("th")!.textContent).toBe("<b>a</b>");
  expect(first!.querySelector("td")!.textContent).toBe("1");
  expect(place.querySelector("b")).toBeNull();
  // Numbers are aligned, and so are the heads of their columns.
  const isNumber = [...place.querySelectorAll("tr:nth-child(1) > *")].map((cell) => cell.className);
  expect(isNumber).toEqual(["", "number", "", "number"]);
});

test("is filled anew, and hidden without rows", () => {
  fillTable(place, [["a"], ["b"]]);
  fillTable(place, [["c"]]);
  expect(place.querySelectorAll("tbody tr").length).toBe(1);
  expect(place.hidden).toBe(false);
  fillTable(place, []);
  expect(place.querySelectorAll("tbody tr").length).toBe(0);
  expect(place.hidden).toBe(true);
});
