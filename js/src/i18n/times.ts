/**
 * Durations, percentages and counts in the reader's language. No DOM.
 */
import type { TimeLeft } from "../session/progress";
import type { Words } from "./words";

/** The units of durations, in seconds. */
const UNITS = { second: 1, minute: 60, hour: 3600 } as const;
type Unit = keyof typeof UNITS;

/** Whole percent. */
export function percentText({ lang }: Words, value: number): string {
  return new Intl.NumberFormat(lang, { style: "percent" }).format(value / 100);
}

/**
 * A count with its noun: `1 line`, `58 lines`.
 *
 * @param key - the catalogs have one text for each plural form of their language, such as
 *   `log.lines.one`; `other` stands in for a form that is missing
 */
export function countText(words: Words, key: "log.lines", count: number): string {
  const form = `${key}.${new Intl.PluralRules(words.lang).select(count)}`;
  return words.say(words.has(form) ? form : `${key}.other`, { count: words.number(count) });
}

/** A day: `12 March`, and the year if it is another one. */
export function dayText({ lang }: Words, seconds: number, now = Date.now()): string {
  const day = new Date(seconds * 1000);
  const isThisYear = day.getFullYear() === new Date(now).getFullYear();
  const year = isThisYear ? {} : ({ year: "numeric" } as const);
  return new Intl.DateTimeFormat(lang, { day: "numeric", month: "long", ...year }).format(day);
}

/** Days after which a weekday would be ambiguous. */
const DAYS = 6;

/**
 * When something was: `Tuesday 24 November`. With the time if it was today; later without the weekday,
 * as {@link dayText}.
 */
export function dateText(words: Words, seconds: number, now = Date.now()): string {
  const then = new Date(seconds * 1000);
  const day = { day: "numeric", month: "long" } as const;
  if (then.toDateString() === new Date(now).toDateString()) {
    const time = { ...day, hour: "numeric", minute: "2-digit" } as const;
    return new Intl.DateTimeFormat(words.lang, time).format(then);
  }
  if (Math.abs(now / 1000 - seconds) > DAYS * 24 * UNITS.hour) return dayText(words, seconds, now);
  return new Intl.DateTimeFormat(words.lang, { weekday: "long", ...day }).format(then);
}

/** A duration that has passed: `8 sec`, `1 min 05 sec`, `2 hr 03 min`. */
export function duration({ lang }: Words, seconds: number): string {
  const whole = Math.max(Math.floor(seconds), 0);
  if (whole < 60) return unit(lang, "second").format(whole);
  const [large, small]: [Unit, Unit] = whole < 3600 ? ["minute", "second"] : ["hour", "minute"];
  const larger = Math.floor(whole / UNITS[large]);
  const smaller = Math.floor((whole % UNITS[large]) / UNITS[small]);
  const two = { minimumIntegerDigits: 2 };
  return `${unit(lang, large).format(larger)} ${unit(lang, small, two).format(smaller)}`;
}

/** How long something took that is over: as {@link duration}, but `0.1 sec` rather than `0 sec`. */
export function took(words: Words, seconds: number): string {
  return seconds < 1 ? shortDuration(words, Math.max(seconds, 0.1)) : duration(words, seconds);
}

/** A short duration, to a tenth of a second; a longer one as {@link duration}. */
export function shortDuration(words: Words, seconds: number): string {
  if (seconds >= 10) return duration(words, seconds);
  const tenths = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return unit(words.lang, "second", tenths).format(seconds);
}

/** Whether it takes longer than usual; not if it usually takes a second, and now takes two. */
export function takesLonger({ median, high = median, late = high, usual }: TimeLeft): boolean {
  return late <= 0 && !(usual && usual - late < MOMENT);
}

/** Seconds that are not told apart. */
const MOMENT = 5;

/**
 * The time left, no more precise than the estimate: `about 20 sec left`, `15–40 sec left`, `longer
 * than usual (usually 25 sec)`. The upper end of a range is rounded up.
 *
 * @param left - from `ProgressModel.left`, in seconds; nothing if there is no estimate
 */
export function timeLeft(words: Words, left: TimeLeft | undefined): string {
  if (!left) return "";
  const { median, low = median, high = median, usual } = left;
  if (takesLonger(left)) {
    if (!usual) return words.say("left.longer");
    const { value, unit: name } = coarse(Math.max(usual, MOMENT));
    return words.say("left.usually", { time: unit(words.lang, name).format(value) });
  }
  if (high < MOMENT) return words.say("left.seconds");
  const from = coarse(Math.max(low, 0));
  const to = coarse(high, high > median ? Math.ceil : Math.round);
  const time = unit(words.lang, to.unit).format(to.value);
  if (from.value === 0) return words.say("left.up-to", { time });
  if (from.value === to.value && from.unit === to.unit) return words.say("left.about", { time });
  const range =
    from.unit === to.unit
      ? unit(words.lang, to.unit).formatRange(from.value, to.value)
      : `${unit(words.lang, from.unit).format(from.value)} – ${time}`;
  return words.say("left.range", { time: range });
}

/** From this many seconds on, whole minutes say something about the time left, and up to half a day. */
const [SHORTEST, LONGEST] = [90, 12 * 3600];
/** The bound is rounded up to this many minutes, and to more if it is further away than ten times as many. */
const STEPS = [1, 5, 15];

/**
 * By when the server is ready at the latest: `ready by 14:32 at the latest`, with the minute rounded
 * up. Empty if that says nothing: soon, tomorrow, or when the launch already takes longer than usual.
 *
 * @param seconds - until then
 * @param time - now, in seconds since 1970
 */
export function readyBy(words: Words, seconds: number | null | undefined, time: number, isLate: boolean): string {
  if (seconds == null || isLate || seconds < SHORTEST || seconds > LONGEST) return "";
  const step = 60 * (STEPS.find((minutes) => seconds <= 600 * minutes) ?? STEPS.at(-1)!);
  const at = 1000 * step * Math.ceil((time + seconds) / step);
  return words.say("left.by", { time: words.clock(at) });
}

function unit(lang: string, name: Unit, digits: Intl.NumberFormatOptions = {}): Intl.NumberFormat {
  return new Intl.NumberFormat(lang, { style: "unit", unit: name, ...digits });
}

/** Round, so that the number does not flicker: to 5 s, half minutes, minutes, or half hours. */
function coarse(seconds: number, whole = Math.round): { value: number; unit: Unit } {
  const fives = whole(seconds / 5) * 5;
  if (fives < 60) return { value: fives, unit: "second" };
  const halves = whole(seconds / 30);
  const minutes = halves < 10 ? halves / 2 : whole(seconds / 60);
  if (minutes < 90) return { value: minutes, unit: "minute" };
  return { value: whole(seconds / 1800) / 2, unit: "hour" };
}
