// @vitest-environment happy-dom
import { afterEach, expect, test } from "vitest";
import more from "../i18n/catalogs/more/en.json";
import type { ViewState } from "./view-state";
import { Tab } from "./tab";
import { addEnglish, Words } from "../i18n/words";

addEnglish(more);
const words = new Words();

function shown(mode: ViewState["mode"], label: string, percent?: number): ViewState {
  return { mode, label, percent } as ViewState;
}

function icon(): string {
  return document.querySelector<HTMLLinkElement>('link[rel~="icon"]')?.href ?? "";
}

afterEach(() => {
  document.head.replaceChildren();
});

test("changes the page's title and icon, and restores them", () => {
  document.title = "My course";
  document.head.innerHTML += '<link rel="icon" type="image/png" href="https://x.example/a.png">';
  const tab = new Tab();
  tab.show(shown("starting", "Connecting"), words);
  expect(document.title).toBe("Connecting · My course");
  tab.show(shown("running", "Building", 42), words);
  expect(document.title).toBe("42% · Building · My course");
  const running = icon();
  expect(decodeURIComponent(running)).toContain('stroke-dasharray="40 100"');
  tab.show(shown("running", "Building", 43), words);
  expect(icon()).toBe(running);
  tab.show(shown("ready", "Ready", 100), words);
  expect(document.title).toBe("Ready · My course");
  const ready = icon();
  tab.show(shown("failed", "Failed", 43), words);
  // By a symbol, not by colour alone.
  expect(decodeURIComponent(ready)).toContain("<path");
  expect(icon()).not.toBe(ready);
  tab.restore();
  expect(document.title).toBe("My course");
  expect(icon()).toBe("https://x.example/a.png");
});

test("removes the icon from a page that had none", () => {
  const tab = new Tab();
  tab.show(shown("running", "Building", 42), words);
  expect(icon()).not.toBe("");
  tab.restore();
  expect(icon()).toBe("");
});
