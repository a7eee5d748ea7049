"""The log in a real Chromium: 100,000 lines at 5,000 a second, open and followed.

The built element gets them as a page does, over server-sent events, with colours and lines that
overwrite themselves. The peer is the plain way, in a page of its own: a `<pre>` that gets a text
node for each event and is scrolled to its end once a frame (at each event, it would hang for
minutes). Both get the same events, one after the other.

Frames are counted while the stream runs, without its first and last second. Intervals between
frames have in them whatever else the machine does, and so have long tasks (over 50 ms); what the
page's main thread computed has not: Chromium's trace has each task's time on the processor.
"""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.conftest import CHROMIUM_ARGUMENTS
from tests.support.wire import KEY, PAGE, wire

KINDS = {"ours": "binder-progress", "peer": "text node per event"}

# The peer needs no strict policy's leave: it is put in by Playwright.
PEER = """(url) => {
  const pre = document.createElement("pre");
  pre.style.cssText = "height: 26rem; overflow: auto";
  document.querySelector("binder-progress").replaceWith(pre);
  new EventSource(url).onmessage = ({ data }) => pre.append(JSON.parse(data).message ?? "");
  const follow = () => {
    pre.scrollTop = pre.scrollHeight;
    requestAnimationFrame(follow);
  };
  follow();
}"""

# Times are kept in typed arrays: what measures must not be garbage itself.
MEASURE = """() => {
  const frames = new Float64Array(100_000);
  const measured = { frames, count: 0, tasks: [] };
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) measured.tasks.push(duration);
  }).observe({ type: "longtask" });
  let last = performance.now();
  const frame = () => {
    const time = performance.now();
    if (measured.count < frames.length) frames[measured.count++] = time - last;
    last = time;
    measured.next = requestAnimationFrame(frame);
  };
  measured.next = requestAnimationFrame(frame);
  globalThis.measured = measured;
}"""

NEWEST = {
    "ours": """() => document.querySelector("binder-progress").shadowRoot
      .querySelector(".log-row:last-child").textContent""",
    "peer": """() => document.querySelector("pre").lastChild.textContent""",
}

TAKE = """() => {
  const { frames, count, tasks, next } = measured;
  cancelAnimationFrame(next);
  return { frames: Array.from(frames.subarray(1, count)), tasks };
}"""


def messages(count: int) -> list[str]:
    """Return what `count` events say: every tenth overwrites itself once."""
    return [
        f"\x1b[32mCollecting\x1b[0m a-package-{number} \x1b[2mfrom requirements.txt line {number}"
        f"\x1b[0m {'#' * (number % 40)}" + ("\r" if number % 10 == 0 else "\n")
        for number in range(count)
    ]


def chromium() -> str | None:
    """Return where Chromium is, if it is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def compare(*, lines: int, rate: int) -> dict[str, Any]:
    """Measure both, and their ratios."""
    load = {"lines": lines, "rate": rate}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        measured = {}
        for kind in KINDS:
            measured[kind] = measure(kind, browser, lines=lines, rate=rate)
        version = browser.version
        browser.close()
    ours, peer = measured["ours"], measured["peer"]
    # Not of heaps: text nodes are not in it.
    names = ("frame_p95_ms", "task_max_cpu_ms", "main_thread_percent", "nodes")
    ratios = {name: peer[name] / ours[name] for name in names}
    return {**load, "chromium": version, **measured, "peer_to_ours": ratios}


def measure(kind: str, browser: Browser, *, lines: int, rate: int) -> dict[str, float]:
    """Stream into a page, and say how it bore it."""
    page = browser.new_page(bypass_csp=kind == "peer")
    with wire(PAGE if kind == "ours" else PAGE.replace("autostart", "")) as launch:
        page.goto(launch.url)
        if kind == "ours":
            page.locator("summary").click()
            page.locator(".log-row, .log-field").first.wait_for()
        else:
            page.evaluate(PEER, f"/api/launches/{KEY}/events")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        before = metrics(session)
        streamed = launch.stream(messages(lines), rate)
        page.wait_for_timeout(1000)
        page.evaluate(MEASURE)
        seconds = max(lines / rate - 2, 0.5)
        browser.start_tracing(categories=["toplevel"])
        page.wait_for_timeout(seconds * 1000)
        taken = page.evaluate(TAKE)
        cpu = main_thread(json.loads(browser.stop_tracing()))
        streamed.result(300)
        arrived(page, kind, lines)
        after = metrics(session)
        page.close()
    frames, tasks = sorted(taken["frames"]), taken["tasks"]
    return {
        "frames_per_s": len(frames) / sum(frames) * 1000,
        "frame_p50_ms": frames[len(frames) // 2],
        "frame_p95_ms": frames[int(len(frames) * 0.95)],
        "frame_max_ms": frames[-1],
        "frames_over_50_ms": sum(time > 50 for time in frames),
        "long_tasks": len(tasks),
        "long_task_max_ms": max(tasks, default=0),
        "task_max_cpu_ms": max(cpu),
        "tasks_cpu_over_50_ms": sum(time > 50 for time in cpu),
        "main_thread_percent": sum(cpu) / seconds / 10,
        "heap_before_mib": before["JSHeapUsedSize"] / 2**20,
        "heap_mib": after["JSHeapUsedSize"] / 2**20,
        "nodes": after["Nodes"],
    }


def main_thread(trace: dict[str, Any]) -> list[float]:
    """Return how long each task of the page's main thread was on the processor, in milliseconds."""
    events = trace["traceEvents"]
    threads: dict[tuple[int, int], list[float]] = {
        (e["pid"], e["tid"]): []
        for e in events
        if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    for event in events:
        where = (event["pid"], event["tid"])
        if event["ph"] == "X" and event["name"].endswith("RunTask") and where in threads:
            threads[where].append(event.get("tdur", 0) / 1000)
    # A browser may keep another renderer ready.
    return max(threads.values(), key=sum)


def arrived(page: Page, kind: str, lines: int) -> None:
    """Wait until the last line is on the page; Playwright's way is eval, which policies refuse."""
    deadline = time.monotonic() + 120
    while f"line {lines - 1}" not in page.evaluate(NEWEST[kind]):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{KINDS[kind]}: the last line did not come")
        page.wait_for_timeout(100)


def metrics(session: CDPSession) -> dict[str, float]:
    """Return Chromium's own counts, without what is garbage."""
    session.send("HeapProfiler.collectGarbage")
    found = session.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in found}


ROWS = {
    "frames_per_s": "frames a second",
    "frame_p50_ms": "between frames, median, ms",
    "frame_p95_ms": "between frames, 95th percentile, ms",
    "frame_max_ms": "between frames, most, ms",
    "frames_over_50_ms": "over 50 ms",
    "long_tasks": "long tasks",
    "long_task_max_ms": "the longest, ms",
    "task_max_cpu_ms": "longest task on the processor, ms",
    "tasks_cpu_over_50_ms": "… tasks over 50 ms",
    "main_thread_percent": "main thread on the processor, %",
    "heap_before_mib": "JavaScript heap before, MiB",
    "heap_mib": "… afterwards, MiB",
    "nodes": "nodes of the document",
}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    title = f"Log, {result['lines']:,} lines at {result['rate']:,} a second"
    rows = [f"{title}, Chromium {result['chromium']}"]
    rows.append(f"  {'':<38}" + "".join(f"{label:>21}" for label in KINDS.values()))
    for name, label in ROWS.items():
        values = "".join(f"{result[kind][name]:21,.1f}" for kind in KINDS)
        ratio = result["peer_to_ours"].get(name)
        rows.append(f"  {label:<38}{values}" + (f"   ratio {ratio:,.1f}" if ratio else ""))
    return "\n".join(rows)
