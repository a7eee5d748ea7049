/**
 * What happened in a launch: its phases, its log and its timeline. No DOM; loaded when a launch
 * starts.
 */
import type { LaunchEvent } from "../wire/event";
import { LogBuffer } from "../log/lines";
import { PhaseTrack } from "./phases";
import { Timeline } from "./timeline";

/** The transcript of one launch. */
export class LaunchTranscript {
  readonly phases = new PhaseTrack();
  readonly log = new LogBuffer();
  readonly timeline = new Timeline();

  /** Take the next event. */
  accept(event: LaunchEvent): void {
    this.phases.accept(event.phase);
    this.timeline.accept(event);
    if (event.message) this.log.write(event.message);
  }
}
