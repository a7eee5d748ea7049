// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { notify } from "./notify";

const made = vi.fn();
const close = vi.fn();
let last: { onclick?: () => void };

beforeEach(() => {
  vi.stubGlobal(
    "Notification",
    class {
      onclick?: () => void;
      close = close;

      constructor(...all: unknown[]) {
        made(...all);
        last = this as { onclick?: () => void };
      }
    },
  );
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  made.mockReset();
});

function hide(hidden: boolean): void {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
}

test("says it in a hidden tab, and leads back to it", () => {
  hide(true);
  const focus = vi.spyOn(window, "focus").mockReturnValue();
  notify("Your server is ready", "gh/a/b", "key");
  expect(made).toHaveBeenCalledWith("Your server is ready", { body: "gh/a/b", tag: "key" });
  last.onclick?.();
  expect(focus).toHaveBeenCalled();
  expect(close).toHaveBeenCalled();
});

test("who looks at the page is not told again", () => {
  hide(false);
  notify("Your server is ready", "gh/a/b", "key");
  expect(made).not.toHaveBeenCalled();
});

test("a browser that cannot after all is no failure of the launch", () => {
  hide(true);
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  made.mockImplementation(() => {
    throw new TypeError("Illegal constructor");
  });
  notify("Your server is ready", "gh/a/b", "key");
  expect(warned).toHaveBeenCalled();
});
