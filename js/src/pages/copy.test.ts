// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { enableCopyButtons } from "./copy";

const TEXT = '<binder-progress spec="gh/a/b/HEAD"></binder-progress>';
let said: string[];

function button(): HTMLButtonElement {
  return document.querySelector("button")!;
}

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  document.body.innerHTML = `<button data-copy="text" data-copied="Copied" data-selected="Selected" data-copied-more="Copied." data-selected-more="The text is selected. Copy it with the keyboard." hidden>Copy</button><pre id="text"></pre>`;
  document.getElementById("text")!.textContent = TEXT;
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function enable(writeText: (text: string) => Promise<void>): void {
  vi.stubGlobal("navigator", { clipboard: { writeText } });
  enableCopyButtons(document, (text) => said.push(text));
}

test("a button copies the text, and shows that for a while", async () => {
  const copied: string[] = [];
  enable(async (text) => void copied.push(text));
  expect(button().hidden).toBe(false);
  button().click();
  await vi.advanceTimersByTimeAsync(0);
  expect(copied).toEqual([TEXT]);
  expect(button().textContent).toBe("Copied");
  await vi.advanceTimersByTimeAsync(2000);
  expect(button().textContent).toBe("Copy");
  expect(said).toEqual(["Copied.", ""]);
});

test("without a clipboard the text is selected", async () => {
  enable(() => Promise.reject(new Error("not allowed")));
  button().click();
  await vi.advanceTimersByTimeAsync(0);
  expect(button().textContent).toBe("Selected");
  expect(getSelection()!.toString()).toBe(TEXT);
});

test("a button without a target stays hidden", () => {
  button().dataset.copy = "nothing";
  enable(() => Promise.resolve());
  expect(button().hidden).toBe(true);
});
