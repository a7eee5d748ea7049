/**
 * Durations in words. No DOM.
 */

/** A duration that has passed: `8 s`, `1 min 05 s`, `2 h 03 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(Math.floor(seconds), 0);
  const two = (part: number) => String(part).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/**
 * What is left, no more exactly than anybody can know: `about 20 s left`, `15–40 s left`,
 * `longer than usual`.
 *
 * @param left - from `ProgressModel.left`; nothing if nobody knows
 */
export function timeLeft(left: { median: number; low?: number; high?: number } | undefined): string {
  if (!left) return "";
  const { median, low, high } = left;
  if (high === undefined || low === undefined) {
    // One number says what was expected, not what is usual.
    if (median <= 0) return "longer than expected";
    return median < 5 ? "a few seconds left" : `about ${text(coarse(median))} left`;
  }
  if (high <= 0) return "longer than usual";
  if (high < 5) return "a few seconds left";
  const [from, to] = [coarse(Math.max(low, 0)), coarse(high)];
  if (from.value === 0) return `up to ${text(to)} left`;
  if (text(from) === text(to)) return `about ${text(to)} left`;
  if (from.unit === to.unit) return `${from.value}–${text(to)} left`;
  return `${text(from)} – ${text(to)} left`;
}

interface Coarse {
  value: number;
  unit: "s" | "min" | "h";
}

function text({ value, unit }: Coarse): string {
  return `${value} ${unit}`;
}

/** Round so that the number does not flicker: to 5 s, then to minutes, then to half hours. */
function coarse(seconds: number): Coarse {
  const fives = Math.round(seconds / 5) * 5;
  if (fives < 60) return { value: fives, unit: "s" };
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return { value: minutes, unit: "min" };
  return { value: Math.round(seconds / 1800) / 2, unit: "h" };
}
