// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Notifier } from "./notify";

const made = vi.fn();
const asked = vi.fn<() => Promise<NotificationPermission>>();
const changed = vi.fn();
const close = vi.fn();
let last: { onclick?: () => void };

beforeEach(() => {
  vi.stubGlobal("isSecureContext", true);
  asked.mockResolvedValue("granted");
  vi.stubGlobal(
    "Notification",
    class {
      static permission = "default";
      static requestPermission = asked;
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
  for (const mock of [made, asked, changed]) mock.mockReset();
});

function hide(hidden: boolean): void {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
}

/** A notifier that the user has turned on. */
async function wanted(): Promise<Notifier> {
  const notifier = new Notifier(changed);
  await notifier.toggle();
  expect(notifier.wanted).toBe(true);
  return notifier;
}

test("asks for the permission only on a click", async () => {
  const notifier = new Notifier(changed);
  expect(notifier.wanted).toBe(false);
  expect(asked).not.toHaveBeenCalled();
  await notifier.toggle();
  await notifier.toggle();
  expect(asked).toHaveBeenCalledTimes(1);
  expect(notifier.wanted).toBe(false);
  hide(true);
  notifier.notify("Your server is ready", "gh/a/b", "key");
  expect(made).not.toHaveBeenCalled();
});

test("does not ask again after a refusal", async () => {
  asked.mockResolvedValue("denied");
  const notifier = new Notifier(changed);
  await notifier.toggle();
  expect(notifier.wanted).toBeUndefined();
  expect(changed).toHaveBeenCalledWith({ key: "notify.denied" });
});

test("is not offered if notifications are not available", () => {
  vi.stubGlobal("isSecureContext", false);
  expect(new Notifier(changed).wanted).toBeUndefined();
});

test("notifies in a hidden tab, and a click shows the tab", async () => {
  hide(true);
  const focus = vi.spyOn(window, "focus").mockReturnValue();
  (await wanted()).notify("Your server is ready", "gh/a/b", "key");
  expect(made).toHaveBeenCalledWith("Your server is ready", { body: "gh/a/b", tag: "key" });
  last.onclick?.();
  expect(focus).toHaveBeenCalled();
  expect(close).toHaveBeenCalled();
});

test("does not notify while the page is visible", async () => {
  hide(false);
  (await wanted()).notify("Your server is ready", "gh/a/b", "key");
  expect(made).not.toHaveBeenCalled();
});

test("survives a browser that cannot show notifications", async () => {
  hide(true);
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  made.mockImplementation(() => {
    throw new TypeError("Illegal constructor");
  });
  (await wanted()).notify("Your server is ready", "gh/a/b", "key");
  expect(warned).toHaveBeenCalled();
});
