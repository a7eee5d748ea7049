import { expect, test, vi } from "vitest";
import type { LineTimesPart } from "../session/line-times";
import { LaunchTranscript } from "../session/transcript";
import type { LaunchEvent } from "../wire/event";
import { LongLog } from "./long-log";
import { LogSearch } from "./search";
import { plainLog } from "./text";

const URL = "https://x.example/log";
const CUT = "[The log is too long to be shown; from here on only the full log has it all.]\n";

/** A log of which the server has `total` lines, and the events some. */
function log(total: number, held: number, { cut = true, most = 20_000, settled = total } = {}) {
  const transcript = new LaunchTranscript();
  transcript.log.maxLines = most;
  const say = (message: string) => transcript.accept({ message, phase: "building", time: 7 } as LaunchEvent);
  for (let number = 1; number <= held; number += 1) say(`line ${number}\n`);
  if (cut) say(CUT);
  const asked: string[] = [];
  const state = { total, settled };
  const get = async (url: string) => {
    const { pathname, searchParams } = new globalThis.URL(url);
    if (pathname.endsWith("/times")) return times;
    asked.push(url);
    const first = Number(searchParams.get("first"));
    if (pathname.endsWith("/search")) {
      const to = Math.min(first + 50_000, state.total + 1);
      const hits = [];
      for (let line = first; line < to; line += 1) {
        if (`line ${line}`.includes(searchParams.get("q")!)) hits.push([line, 1]);
      }
      return { hits, next: to, total: state.total };
    }
    const from = first > 0 ? first : Math.max(state.total + first + 1, 1);
    const count = Math.min(Number(searchParams.get("count")), 500, Math.max(state.total + 1 - from, 0));
    const lines = Array.from({ length: count }, (_, index) => `line ${from + index}`);
    return { first: from, lines, ...state };
  };
  const changed = vi.fn();
  const failed = vi.fn();
  const times: LineTimesPart = { lines: [], times: [] };
  const timed = vi.fn();
  const long = new LongLog({ transcript, url: URL, changed, failed, timed, get: get as <T>(url: string) => Promise<T> });
  return { long, asked, state, say, changed, failed, times, timed };
}

async function shown(long: LongLog, from: number, to: number): Promise<string[]> {
  await vi.waitFor(() => {
    long.want(from, to);
    for (let line = from; line < to; line += 1) expect(long.has(line)).toBe(true);
  });
  return Array.from({ length: to - from }, (_, index) => long.line(from + index));
}

test("asks nothing while the events have everything", () => {
  const { long, asked } = log(1000, 1000, { cut: false });
  long.want(0, 1000);
  expect([long.start, long.end, long.isLong, long.line(999)]).toEqual([0, 1000, false, "line 1000"]);
  expect(long.find("a", 0)).toBeUndefined();
  expect(asked).toEqual([]);
});

test("reads what the events do not have", async () => {
  const { long, asked } = log(1_000_000, 3000);
  expect([long.isLong, long.end, long.has(2999), long.has(3000)]).toEqual([true, 3000, true, false]);
  expect(await shown(long, 999_990, 1_000_000)).toContain("line 1000000");
  expect([long.end, long.transcript.lines]).toEqual([1_000_000, 1_000_000]);
  expect((await shown(long, 500_000, 500_002))[0]).toBe("line 500001");
  expect([long.time(5), long.time(500_000)]).toEqual([7, 0]);
  const before = asked.length;
  await shown(long, 2990, 3000);
  long.want(500_100, 500_200);
  expect(asked.length).toBe(before);
});

test("asks when lines were written that the events do not have", async () => {
  const { long, times, timed } = log(1_000_000, 3000);
  Object.assign(times, { lines: [1, 5000, 700_000], times: [10, 11, 12] });
  await shown(long, 999_990, 1_000_000);
  await vi.waitFor(() => expect(timed).toHaveBeenCalled());
  expect([5, 2999, 3000, 5000, 699_999].map((line) => long.time(line))).toEqual([7, 7, 10, 11, 12]);
});

test("asks for times only when they are shown, if the events have had all lines", async () => {
  const { long, times, timed } = log(30_000, 30_000, { cut: false, most: 5000 });
  Object.assign(times, { lines: [1], times: [10] });
  await shown(long, 0, 10);
  expect([timed.mock.calls.length, long.time(0)]).toEqual([0, 0]);
  long.showsTimes = true;
  long.want(0, 10);
  await vi.waitFor(() => expect(timed).toHaveBeenCalled());
  expect([long.time(0), long.time(29_999)]).toEqual([10, 7]);
});

test("keeps only the newest lines, and reads the others", async () => {
  const { long } = log(30_000, 30_000, { cut: false, most: 5000 });
  expect([long.start, long.end, long.has(24_999), long.has(25_000)]).toEqual([0, 30_000, false, true]);
  expect((await shown(long, 0, 10))[9]).toBe("line 10");
  const text = await (await plainLog(long, 24_998, 25_002)).text();
  expect(text).toBe("line 24999\nline 25000\nline 25001\nline 25002\n");
});

test("jumps ahead of events that are still on their way", async () => {
  const { long, say } = log(100_000, 2000, { cut: false });
  await shown(long, 1990, 2000);
  await vi.waitFor(() => expect(long.end).toBe(100_000));
  expect(long.isLong).toBe(true);
  for (let number = 2001; number <= 100_000; number += 1) say(`line ${number}\n`);
  expect([long.end, long.line(99_999)]).toEqual([100_000, "line 100000"]);
});

test("looks for new lines until the log is over", async () => {
  const { long, state, changed, asked } = log(5000, 3000, { settled: 4500 });
  await shown(long, 4990, 5000);
  Object.assign(state, { total: 5001, settled: 5001 });
  await vi.waitFor(() => {
    long.want(4990, 5000);
    expect(long.end).toBe(5001);
  }, 5000);
  expect(changed).toHaveBeenCalled();
  const looks = () => asked.filter((url) => url.includes("first=-")).length;
  const before = looks();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await shown(long, 4990, 5001);
  expect(looks()).toBe(before);
});

test("the server searches", async () => {
  const { long } = log(200_000, 3000);
  await shown(long, 199_990, 200_000);
  const arrived = vi.fn();
  const search = new LogSearch(arrived);
  search.begin("line 77777");
  await vi.waitFor(() => {
    search.step(long, 8);
    expect(search.isBehind(long)).toBe(false);
  });
  expect([search.count, arrived.mock.calls.length]).toEqual([1, 4]);
  expect(search.seek(0, long)).toBe(true);
  expect(search.current).toEqual({ line: 77_776, nth: 0 });
  search.begin("line");
  await vi.waitFor(() => {
    search.step(long, 8);
    expect(search.isCut).toBe(true);
  });
  expect([search.count, search.isBehind(long)]).toEqual([100_000, false]);
});

test("the oldest of very many lines are not shown", async () => {
  const { long } = log(3_000_000, 3000);
  await shown(long, 2_999_990, 3_000_000);
  expect([long.start, long.end]).toEqual([1_800_000, 3_000_000]);
});

test("an answer to another search does not count", async () => {
  const { long } = log(200_000, 3000);
  await shown(long, 199_990, 200_000);
  const search = new LogSearch();
  search.begin("line");
  search.step(long, 8);
  search.begin("line 9");
  await new Promise((resolve) => setTimeout(resolve));
  expect(search.count).toBe(0);
});

test("says that lines cannot be read", async () => {
  const { long, failed } = log(10, 3000);
  const broken = new LongLog({
    transcript: long.transcript,
    url: URL,
    changed: () => undefined,
    timed: () => undefined,
    failed,
    get: () => Promise.reject(new Error("offline")),
  });
  const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
  broken.want(0, 10);
  await vi.waitFor(() => expect(failed).toHaveBeenCalledOnce());
  expect(logged).toHaveBeenCalledOnce();
  logged.mockRestore();
});
