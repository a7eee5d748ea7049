/**
 * Converts the events of a BinderHub to ours, with number, time, step, progress and reason. No DOM;
 * times are arguments; loaded on demand.
 */
import { jupyterServerAddress, linkAddress } from "./addresses";
import { Estimator } from "./estimator";
import type { LaunchEvent, Phase } from "../wire/event";
import { isTerminal } from "../session/progress";
import { diagnose, type Diagnosis, diagnosisOf } from "./reasons";
import { asLines } from "./lines";
import { type BuildStep, launchStep, StepReader } from "./steps";
import tables from "./tables.json";

/** The number of last messages that are searched for the reason of a failure. */
const MAX_TAIL = 400;

/** How a line ends that a program completes later, as on our server. */
const GOES_ON = /(?: |\.\.\.)$/;
/** The characters of such a line that are sent again with its end. */
const MAX_BEGUN = 200;

const ORDER = tables.phases as Phase[];
const PHASES = new Set(tables.binderhub as Phase[]);
/** The phases whose messages are lines of the build's log. */
const LOGGED = new Set<Phase | undefined>([undefined, "waiting", "fetching", "building", "pushing"]);
/** The fields of `ready` that are kept, and what makes them safe. */
const READY_FIELDS = {
  url: jupyterServerAddress,
  token: unchanged,
  image: unchanged,
  repo_url: linkAddress,
  binder_ref_url: linkAddress,
  binder_launch_host: linkAddress,
  binder_request: unchanged,
  binder_persistent_request: unchanged,
  binder_client_ip: unchanged,
} as const;
/** The reasons of HTTP statuses, for messages that say no more. */
const STATUSES: Record<number, string> = { 403: "refused", 429: "rate-limited", 500: "internal" };

/** An event of a BinderHub, not validated. */
export type BinderHubRecord = Readonly<Record<string, unknown>>;

/** Read the data of a server-sent event. Data that is not a JSON object becomes a line of the log. */
export function readRecord(data: string): BinderHubRecord {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return { message: data };
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as BinderHubRecord) : { message: data };
}

/** The phase of a record; nothing for the states of a build pod, which BinderHub sends as phases. */
export function phaseOf(record: BinderHubRecord): Phase | undefined {
  const { phase } = record;
  const name = typeof phase === "string" ? (phase.toLowerCase() as Phase) : undefined;
  return name && PHASES.has(name) ? name : undefined;
}

/** The message of a record; empty if it is an object. */
export function messageOf(record: BinderHubRecord): string {
  const { message } = record;
  return message === undefined || typeof message === "object" ? "" : String(message);
}

/** Whether a record is a line of the build's log, or has no phase. */
export function isLogged(record: BinderHubRecord): boolean {
  return LOGGED.has(phaseOf(record));
}

/** Converts the records of one launch, from any number of connections. */
export class BinderHubLaunch {
  /** The phase of the latest event. */
  phase: Phase = "waiting";
  /** Whether the launch has ended: no event follows. */
  over = false;

  readonly #send: (event: LaunchEvent) => void;
  readonly #start: number;
  readonly #estimator: Estimator;
  readonly #reader = new StepReader();
  #id = 0;
  #attempt = 1;
  #step: BuildStep | undefined;
  #isUnfinished = false;
  #begun = "";
  #tail: string[] = [];

  /**
   * @param send - gets each event
   * @param now - the time in seconds since 1970, as in all later calls
   */
  constructor(send: (event: LaunchEvent) => void, now: number) {
    this.#send = send;
    this.#start = now;
    this.#estimator = new Estimator(now);
  }

  /** Take the next record. */
  take(record: BinderHubRecord, now: number): void {
    if (this.over) return;
    const named = phaseOf(record);
    // It overwrites the line as far as it was known.
    const text = (named === "building" ? this.#begun : "") + messageOf(record);
    const line = text.slice(text.lastIndexOf("\n") + 1);
    this.#begun = named === "building" && GOES_ON.test(line) && line.length <= MAX_BEGUN ? line : "";
    // Docker's older API ends a message with a line feed in a message of its own.
    const isEnd = this.#isUnfinished && /^\r?\n$/.test(text) && !named;
    this.#isUnfinished = text !== "" && !isEnd && !/[\r\n]$/.test(text) && !this.#begun;
    if (isEnd || !(text.trim() || named)) return;
    const step = isLogged(record) ? this.#reader.read(text, record.layers) : launchStep(text);
    const phase = this.#latestOf(named, step);
    this.#remember(text);
    if (phase === "failed") this.#fail(record, text, now);
    else this.#append(phase, asLines(this.#begun ? `${text}\r` : text), step, now, fieldsOf(record, phase));
    if (text.startsWith("Launch attempt ") && phase === "launching") this.#attempt += 1;
    // The build's output does not explain why its server fails to start.
    if (phase === "built") this.#tail = [];
  }

  /** End the launch for a reason that is not from a record. */
  fail(reason: string, now: number): void {
    if (!this.over) this.#end(diagnosisOf(reason), now);
  }

  /** The phase of the next event. Phases never go back. */
  #latestOf(named: Phase | undefined, step: BuildStep | undefined): Phase {
    // BinderHub has no phase for pushing, only messages within "building".
    const phases = [this.phase, named, step?.phase].map((phase) => (phase ? ORDER.indexOf(phase) : 0));
    return ORDER[Math.max(...phases)] ?? this.phase;
  }

  #fail(record: BinderHubRecord, text: string, now: number): void {
    // BinderHub's own message is a line of the log. The last event has ours.
    if (text.trim()) this.#append(this.phase, asLines(text), undefined, now);
    const { status_code: code } = record;
    const status = typeof code === "number" ? STATUSES[code] : undefined;
    const kind = this.phase === "launching" ? "spawn" : "";
    this.#end(diagnose(this.#tail, this.#defaultReason ?? status ?? "unknown", kind), now);
  }

  /** The reason if the log does not tell; nothing if nothing has begun. */
  get #defaultReason(): string | undefined {
    if (this.phase === "waiting") return undefined;
    return LOGGED.has(this.phase) ? "build-failed" : "spawn-failed";
  }

  #end(diagnosis: Diagnosis, now: number): void {
    const { reason, subject, message, advice, evidence, fault, retry, file, line } = diagnosis;
    const fields: Partial<LaunchEvent> = {
      reason,
      ...(subject && { subject }),
      advice,
      evidence,
      fault,
      retry,
      ...(file && { file }),
      ...(line && { line }),
    };
    this.#append("failed", `${message}\n`, undefined, now, fields);
  }

  #remember(text: string): void {
    this.#tail.push(asLines(text));
    // Not for each line: removing the first item moves all others.
    if (this.#tail.length > 2 * MAX_TAIL) this.#tail = this.#tail.slice(-MAX_TAIL);
  }

  #append(
    phase: Phase,
    message: string,
    step: BuildStep | undefined,
    now: number,
    fields: Partial<LaunchEvent> = {},
  ): void {
    if (phase !== this.phase) this.#step = undefined;
    this.#step = step ?? this.#step;
    this.phase = phase;
    const { progress, curve, eta, low, high, latest, late } = this.#estimator.update(phase, step, now);
    const event: LaunchEvent = {
      id: (this.#id += 1),
      phase,
      time: now,
      elapsed: Math.max(now - this.#start, 0),
      progress,
      ...(message && { message }),
      ...(this.#step && stepFields(this.#step)),
      ...(curve && { curve }),
      ...(eta !== undefined && low !== undefined && high !== undefined
        ? { eta, eta_low: low, eta_high: high, eta_latest: latest, eta_late: late }
        : {}),
      ...(this.#attempt > 1 && { attempt: this.#attempt }),
      ...fields,
    };
    this.over = isTerminal(event);
    this.#send(event);
  }
}

/** The fields of our event besides phase, message and step. */
function fieldsOf(record: BinderHubRecord, phase: Phase): Partial<LaunchEvent> {
  const fields: Partial<LaunchEvent> = {};
  const { imageName } = record;
  if (phase === "built" && typeof imageName === "string") fields.imageName = imageName;
  if (phase !== "ready") return fields;
  for (const [name, safe] of Object.entries(READY_FIELDS)) {
    const value = record[name];
    const kept = typeof value === "string" ? safe(value) : undefined;
    if (kept) fields[name as keyof typeof READY_FIELDS] = kept;
  }
  return fields;
}

function unchanged(value: string): string {
  return value;
}

function stepFields(step: BuildStep): Partial<LaunchEvent> {
  const { label, key, index, total, command } = step;
  const numbers = total ? { step_index: index, step_total: total } : {};
  return { step: label, step_key: key, ...numbers, ...(command && { step_command: command }) };
}
