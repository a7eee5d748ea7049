/**
 * A BinderHub's events, turned into ours: numbered, timed, with step, bar and reason. No DOM, no
 * clock of its own; loaded when wanted.
 */
import { jupyterServerAddress, linkAddress } from "./addresses";
import { Estimator } from "./estimator";
import type { LaunchEvent, Phase } from "../wire/event";
import { isTerminal } from "../session/progress";
import { diagnose, type Diagnosis, said } from "./reasons";
import { type BuildStep, launchStep, StepReader } from "./steps";
import tables from "./tables.json";

/** As many of the last messages are searched for the reason of a failure. */
const TAIL = 400;
/** Characters of one line that are kept, as on our server. */
const LONGEST = 4096;

const ORDER = tables.phases as Phase[];
const PHASES = new Set(tables.binderhub as Phase[]);
/** The phases whose messages are a builder's log. */
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
/** What only an HTTP status says, where the hub's sentence says no more. */
const STATUSES: Record<number, string> = { 403: "refused", 429: "rate-limited", 500: "internal" };

/** One event of a BinderHub: whatever it is. */
export type BinderHubRecord = Readonly<Record<string, unknown>>;

/** What the data of one server-sent event says; what is no object of JSON is a line of the log. */
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

/** The phase that a record names; nothing for BinderHub's own words for a build pod's states. */
export function phaseOf(record: BinderHubRecord): Phase | undefined {
  const { phase } = record;
  const name = typeof phase === "string" ? (phase.toLowerCase() as Phase) : undefined;
  return name && PHASES.has(name) ? name : undefined;
}

/** The message of a record; an object is none. */
export function messageOf(record: BinderHubRecord): string {
  const { message } = record;
  return message === undefined || typeof message === "object" ? "" : String(message);
}

/** Whether a record is a line of a builder's log, or one that names no phase. */
export function isLogged(record: BinderHubRecord): boolean {
  return LOGGED.has(phaseOf(record));
}

/** Makes our events of the records of one launch, over however many connections they came. */
export class BinderHubLaunch {
  /** The phase of the newest event. */
  phase: Phase = "waiting";
  /** Whether the launch has come to its end: nothing follows. */
  over = false;

  readonly #tell: (event: LaunchEvent) => void;
  readonly #began: number;
  readonly #estimator: Estimator;
  readonly #reader = new StepReader();
  #id = 0;
  #attempt = 1;
  #step: BuildStep | undefined;
  #unfinished = false;
  #tail: string[] = [];

  /**
   * @param tell - gets each event
   * @param now - seconds since 1970, as in every call that follows
   */
  constructor(tell: (event: LaunchEvent) => void, now: number) {
    this.#tell = tell;
    this.#began = now;
    this.#estimator = new Estimator(now);
  }

  /** Take in one record. */
  take(record: BinderHubRecord, now: number): void {
    if (this.over) return;
    const text = messageOf(record);
    const named = phaseOf(record);
    // The lone line feed with which docker's older API ends a message that came before.
    const isEnd = this.#unfinished && /^\r?\n$/.test(text) && !named;
    this.#unfinished = text !== "" && !isEnd && !/[\r\n]$/.test(text);
    if (isEnd || !(text.trim() || named)) return;
    const step = isLogged(record) ? this.#reader.read(text, record.layers) : launchStep(text);
    const phase = this.#further(named, step);
    this.#remember(text);
    if (phase === "failed") this.#fail(record, text, now);
    else this.#append(phase, ended(text), step, now, fieldsOf(record, phase));
    if (text.startsWith("Launch attempt ") && phase === "launching") this.#attempt += 1;
    // What a build printed is not why its server does not start.
    if (phase === "built") this.#tail = [];
  }

  /** End it for a reason that no record gave. */
  fail(reason: string, now: number): void {
    if (!this.over) this.#end(said(reason), now);
  }

  /** The phase that a record is told under: never one that is over. */
  #further(named: Phase | undefined, step: BuildStep | undefined): Phase {
    // Pushing shows up as text inside "building".
    const phases = [this.phase, named, step?.phase].map((phase) => (phase ? ORDER.indexOf(phase) : 0));
    return ORDER[Math.max(...phases)] ?? this.phase;
  }

  #fail(record: BinderHubRecord, text: string, now: number): void {
    // The hub's own words are a line of the log; the end says it in ours.
    if (text.trim()) this.#append(this.phase, ended(text), undefined, now);
    const { status_code: code } = record;
    const status = typeof code === "number" ? STATUSES[code] : undefined;
    this.#end(diagnose(this.#tail, this.#usual ?? status ?? "unknown"), now);
  }

  /** What has failed where nothing tells more; nothing while nothing has begun. */
  get #usual(): string | undefined {
    if (this.phase === "waiting") return undefined;
    return LOGGED.has(this.phase) ? "build-failed" : "spawn-failed";
  }

  #end(found: Diagnosis, now: number): void {
    const { reason, subject, message, advice, evidence } = found;
    const about = { reason, ...(subject && { subject }), advice, evidence };
    this.#append("failed", `${message}\n`, undefined, now, about);
  }

  #remember(text: string): void {
    this.#tail.push(text.slice(0, LONGEST));
    // Not with every line: a shift is as long as what is left.
    if (this.#tail.length > 2 * TAIL) this.#tail = this.#tail.slice(-TAIL);
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
    const { progress, curve, eta, low, high, late } = this.#estimator.update(phase, step, now);
    const event: LaunchEvent = {
      id: (this.#id += 1),
      phase,
      time: now,
      elapsed: Math.max(now - this.#began, 0),
      progress,
      ...(message && { message }),
      ...(this.#step && stepFields(this.#step)),
      ...(curve && { curve }),
      ...(eta !== undefined && low !== undefined && high !== undefined
        ? { eta, eta_low: low, eta_high: high, eta_late: late }
        : {}),
      ...(this.#attempt > 1 && { attempt: this.#attempt }),
      ...fields,
    };
    this.over = isTerminal(event);
    this.#tell(event);
  }
}

/** What an event of ours has beyond phase, message and step. */
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
  const { label, key, index, total } = step;
  const numbers = total ? { step_index: index, step_total: total } : {};
  return { step: label, step_key: key, ...numbers };
}

/** Text as one message: ending in a line feed, or in a carriage return if it is overwritten. */
function ended(text: string): string {
  if (text === "") return "";
  const end = text.endsWith("\r") ? "\r" : "\n";
  const line = text.replace(/\r?\n?$/, "");
  const more = line.length - LONGEST;
  return more > 0 ? `${line.slice(0, LONGEST)}… [${more} more characters]${end}` : line + end;
}
