/**
 * What happened in a launch: its phases, its log and its timeline. No DOM; loaded when a launch
 * starts.
 */
import type { Earlier, LaunchEvent } from "../wire/event";
import { LogBuffer } from "../log/lines";
import { LineTimes } from "./line-times";
import { PhaseTrack } from "./phases";
import { Timeline } from "./timeline";

/** The server's note that the events no longer have the log. */
const CUT = /^\[.{1,100}; from here on only the full log has it all\.\]\n$/;

/** The transcript of one launch. */
export class LaunchTranscript {
  readonly phases = new PhaseTrack();
  readonly log = new LogBuffer();
  readonly timeline = new Timeline();
  /** The id of the build, if its log is kept. */
  buildId = "";
  /** The number of lines of the log on the server, as far as it was asked. */
  total = 0;
  /** When lines were written, as far as the server was asked: about one in a second. */
  readonly times = new LineTimes();
  /** The line from which on the events no longer have the log; infinite if they have all of it. */
  cutAt = Infinity;
  /** The commit, as far as the events name it; else empty. */
  commit = "";
  /** An earlier version that can be launched meanwhile, if the server offers one. */
  earlier: Earlier | undefined;

  /** Take the next event. */
  accept(event: LaunchEvent): void {
    this.buildId = event.build_id || this.buildId;
    this.phases.accept(event);
    this.timeline.accept(event, this.log.end);
    this.commit ||= commitOf(event);
    this.earlier = event.earlier ?? this.earlier;
    if (!event.message) return;
    if (!this.isCut && CUT.test(event.message)) this.cutAt = this.log.end;
    this.log.write(event.message, event.time);
  }

  /** Whether the log is too long for the events. */
  get isCut(): boolean {
    return this.cutAt < Infinity;
  }

  /** The number of lines of the log. */
  get lines(): number {
    return Math.max(this.total, Math.min(this.log.end, this.cutAt));
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
