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
  /** The commit, as far as the events name it; else empty. */
  commit = "";

  /** Take the next event. */
  accept(event: LaunchEvent): void {
    this.buildId = event.build_id || this.buildId;
    this.phases.accept(event);
    this.timeline.accept(event, this.log.end);
    this.commit ||= commitOf(event);
    if (event.message) this.log.write(event.message, event.time);
  }
}

/** The commit that an event names: of the server that is ready, or in git's own words. */
function commitOf({ binder_persistent_request = "", message = "" }: LaunchEvent): string {
  const [, commit = ""] =
    /\/([0-9a-f]{7,64})$/.exec(binder_persistent_request) ??
    /^HEAD is now at ([0-9a-f]{7,64})\b/.exec(message.slice(0, 100)) ??
    [];
  return commit;
}
