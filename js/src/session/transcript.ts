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
  /** The id of the build, if its log is kept. */
  buildId = "";

  /** Take the next event. */
  accept(event: LaunchEvent): void {
    this.buildId = event.build_id || this.buildId;
    this.phases.accept(event.phase);
    this.timeline.accept(event);
    if (event.message) this.log.write(event.message, event.time);
  }
}
