/**
 * What is remembered of a launch: its phases, its log, when each step began. No DOM. Loaded once
 * a launch is under way.
 */
import type { LaunchEvent } from "../wire/event";
import { LogBuffer } from "../log/lines";
import { PhaseTrack } from "./phases";
import { Timeline } from "./timeline";

/** All that is remembered of one launch. */
export class LaunchRecord {
  readonly track = new PhaseTrack();
  readonly log = new LogBuffer();
  readonly timeline = new Timeline();

  /** Take the next event. */
  accept(event: LaunchEvent): void {
    this.track.accept(event.phase);
    this.timeline.accept(event);
    if (event.message) this.log.write(event.message);
  }
}
