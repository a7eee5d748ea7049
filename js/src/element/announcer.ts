/**
 * What a screen reader says of a running launch: its phases, once that it takes longer than usual, and
 * a word a minute while nothing else is said. No DOM; times are arguments.
 */
import { takesLonger, timeLeft } from "../i18n/times";
import type { Words } from "../i18n/words";
import type { LaunchSession } from "../session/session";
import type { ViewState } from "./view-state";

/** Seconds after which it is said that the launch goes on. */
const QUIET = 60;

/** The content of the live region of one launch after the other. */
export class Announcer {
  #text = "";
  /** When it last changed, in seconds since 1970. */
  #at = 0;
  #label = "";
  #saidLate = false;

  /**
   * Return the text of the live region. Each change of it is read out.
   *
   * @param time - the local time, in seconds since 1970
   */
  text({ mode, model }: LaunchSession, state: Omit<ViewState, "live">, words: Words, time: number): string {
    const { event } = model;
    if (!event) return this.#reset();
    const label = event.problem ? `${state.label}. ${words.say("problem")}` : state.label;
    const left = model.left(time);
    const isLate = mode === "running" && !!state.left && left?.late !== undefined && takesLonger(left);
    if (label !== this.#label) {
      this.#label = label;
      this.#say(label, time);
    } else if (isLate && !this.#saidLate) {
      this.#saidLate = true;
      this.#say(`${state.label}: ${timeLeft(words, left)}`, time);
    } else if (mode === "running" && !state.lost && time - this.#at >= QUIET) {
      this.#say([state.valueText, state.left].filter(Boolean).join(", "), time);
    }
    return this.#text;
  }

  /** A new launch begins. */
  #reset(): string {
    this.#text = this.#label = "";
    this.#saidLate = false;
    return "";
  }

  #say(text: string, time: number): void {
    this.#text = text;
    this.#at = time;
  }
}
