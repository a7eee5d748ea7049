/**
 * Pauses between attempts to reconnect. No DOM.
 */

/**
 * Wait for about this many seconds, or until the signal aborts.
 *
 * The time is random within ±25 %: viewers who were cut off at the same moment, as in a lecture,
 * must not all reconnect at once.
 *
 * @param signal - has not aborted yet
 */
export function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * (750 + 500 * Math.random()));
    signal.addEventListener("abort", end);
  });
}
