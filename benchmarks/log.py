"""The log in a real Chromium: 100,000 lines at 5,000 a second, open and followed.

The built element gets them as a page does, over server-sent events, with colours and lines that
overwrite themselves. The peer is the plain way, in a page of its own: a `<pre>` that gets a text node
for each event and is scrolled to its end once a frame (at each event, it would hang for minutes).
Both get the same events, one after the other.

Frames are counted while the stream runs, without its first and last second. An interval between
frames has the machine's noise in it; a long task (over 50 ms) is the page's own, and so is the share
of the main thread that scripts, styles and layout took.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

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


def run(*, lines: int, rate: int) -> dict[str, Any]:
    """Measure both, and their ratios."""
    load = {"lines": lines, "rate": rate}
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        arguments = [*CHROMIUM_ARGUMENTS, "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        measured = {}
        for kind in KINDS:
            context = browser.new_context(bypass_csp=kind == "peer")
            measured[kind] = measure(kind, context.new_page(), lines=lines, rate=rate)
            context.close()
        version = browser.version
        browser.close()
    ours, peer = measured["ours"], measured["peer"]
    # Not of heaps: text nodes are not in it.
    names = ("frame_p95_ms", "main_thread_percent", "nodes")
    ratios = {name: peer[name] / ours[name] for name in names}
    return {**load, "chromium": version, **measured, "peer_to_ours": ratios}


def measure(kind: str, page: Page, *, lines: int, rate: int) -> dict[str, float]:
    """Stream into a page, and say how it bore it."""
    with wire(PAGE if kind == "ours" else PAGE.replace("autostart", "")) as launch:
        page.goto(launch.url)
        if kind == "ours":
            page.locator("summary").click()
            page.locator(".log-row, .log-field").first.wait_for()
        else:
            page.evaluate(PEER, f"/api/launches/{KEY}/events")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        before = metrics(session, collect=True)
        streamed = launch.stream(messages(lines), rate)
        page.wait_for_timeout(1000)
        page.evaluate(MEASURE)
        at = metrics(session)
        page.wait_for_timeout(max(lines / rate - 2, 0.5) * 1000)
        then = metrics(session)
        taken = page.evaluate(TAKE)
        streamed.result(300)
        arrived(page, kind, lines)
        after = metrics(session, collect=True)
    frames, tasks = sorted(taken["frames"]), taken["tasks"]
    seconds = then["Timestamp"] - at["Timestamp"]
    return {
        "frames_per_s": len(frames) / seconds,
        "frame_p50_ms": frames[len(frames) // 2],
        "frame_p95_ms": frames[int(len(frames) * 0.95)],
        "frame_max_ms": frames[-1],
        "frames_over_50_ms": sum(time > 50 for time in frames),
        "long_tasks": len(tasks),
        "long_task_max_ms": max(tasks, default=0),
        "main_thread_percent": (then["TaskDuration"] - at["TaskDuration"]) / seconds * 100,
        "script_percent": (then["ScriptDuration"] - at["ScriptDuration"]) / seconds * 100,
        "heap_before_mib": before["JSHeapUsedSize"] / 2**20,
        "heap_mib": after["JSHeapUsedSize"] / 2**20,
        "nodes": after["Nodes"],
    }


def arrived(page: Page, kind: str, lines: int) -> None:
    """Wait until the last line is on the page; Playwright's own way is eval, which policies refuse."""
    deadline = time.monotonic() + 120
    while f"line {lines - 1}" not in page.evaluate(NEWEST[kind]):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{KINDS[kind]}: the last line did not come")
        page.wait_for_timeout(100)


def metrics(session: CDPSession, *, collect: bool = False) -> dict[str, float]:
    """Return Chromium's own counts, if wanted without what is garbage."""
    if collect:
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
    "main_thread_percent": "main thread busy, %",
    "script_percent": "… in scripts, %",
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
