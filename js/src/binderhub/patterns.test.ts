/**
 * Attack: a line that takes a regular expression a long time. The owner of the repository writes the
 * log, and the page reads it in its main thread.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpuUsage } from "node:process";
import { parseAst } from "vite";
import { expect, test } from "vitest";
import { diagnose } from "./reasons";
import { StepReader } from "./steps";
import tables from "./tables.json";

const LENGTH = 100_000;
const MOST = 5; // ms
// The additional time for each match.
const PER_MATCH = 0.001;

const ATOM = /\\.|\[(?:\\.|[^\]\\])*\]|\(\?<?[:=!]|\(\?<\w+>|[()|^$]|[*+?]\??|\{\d+(?:,\d*)?\}\??|[^]/g;
const SAMPLES: Record<string, string> = {
  "\\d": "0",
  "\\w": "a",
  "\\s": " ",
  "\\S": "a",
  "\\b": "",
  ".": "a",
};

/** A text that one part of a pattern matches; empty for operators. */
function sampleOf(atom: string): string {
  if (atom in SAMPLES) return SAMPLES[atom]!;
  if (/^(?:\(.*|[)|^$]|[*+?].*|\{\d.*)$/.test(atom)) return "";
  if (/^\\u[0-9a-f]{4}$/i.test(atom) || atom.startsWith("[")) {
    const fits = new RegExp(`^${atom}$`, "is");
    return [..."a0 -~'\"/.\u001b\u0000é", ...tables.drawn].find((sign) => fits.test(sign)) ?? "";
  }
  return atom.startsWith("\\") ? atom.slice(1) : atom;
}

/** The parts of a pattern. Consecutive characters are one part. */
function partsOf(source: string): string[][] {
  const alternatives: string[][] = [[]];
  let text = "";
  const end = () => {
    if (text) alternatives.at(-1)!.push(text);
    text = "";
  };
  for (const [atom] of source.matchAll(ATOM)) {
    if (/^(?:\\[^a-z]|[^\\[(){}|^$*+?.])$/i.test(atom)) {
      text += sampleOf(atom);
      continue;
    }
    end();
    if (atom === "|") alternatives.push([]);
    else if (sampleOf(atom)) alternatives.at(-1)!.push(sampleOf(atom));
  }
  end();
  return alternatives;
}

/** Lines that cause backtracking: repetitions of each sequence of parts. */
function* hostileLines(source: string): Generator<string> {
  const pieces = new Set(["a", " ", "0", "'", '"', "/", "-", "\\", "\u001b", "\u001b[", "é", "a "]);
  const heads = new Map<string, string>();
  for (const parts of partsOf(source)) {
    for (let begin = 0; begin < parts.length; begin += 1) {
      for (let end = begin + 1; end <= Math.min(parts.length, begin + 6); end += 1) {
        const piece = parts.slice(begin, end).join("");
        pieces.add(piece);
        heads.set(piece, parts.slice(0, begin).join(""));
      }
    }
  }
  for (const piece of pieces) {
    const pump = piece.repeat(Math.ceil(LENGTH / piece.length));
    for (const head of new Set(["", heads.get(piece) ?? ""])) {
      yield head + pump;
      yield `${head}${pump}\u0000`;
    }
  }
}

/** All patterns of the rules, also those that are tried once a rule has matched. */
function rulePatterns(): string[] {
  const names = ["above", "below", "nearby", "title", "cause", "overcome"] as const;
  return (tables.rules as ({ patterns: string[] } & Partial<Record<(typeof names)[number], string>>)[]).flatMap(
    (rule) => [...rule.patterns, ...names.flatMap((name) => rule[name] ?? [])],
  );
}

/** All patterns of the tables, as they are used, and of the sources. */
function patterns(): Map<string, RegExp> {
  const found = new Map<string, RegExp>();
  const add = (pattern: RegExp) => found.set(String(pattern), pattern);
  for (const pattern of rulePatterns()) add(new RegExp(pattern, "is"));
  add(new RegExp(tables.escapes, "g"));
  for (const pattern of tables.segments.commands) add(new RegExp(pattern[1]!));
  for (const pattern of tables.segments.files) add(new RegExp(pattern));
  const begun = [tables.segments.patterns, tables.steps.patterns, tables.layers.patterns, { stamp: tables.launch.stamp }];
  for (const pattern of begun.flatMap((each) => Object.values<string>(each))) {
    add(new RegExp(`^(?:${pattern})`));
  }
  for (const name of readdirSync("src", { encoding: "utf8", recursive: true }).filter((each) =>
    /(?<!\.test)\.ts$/.test(each),
  )) {
    const tree = parseAst(readFileSync(`src/${name}`, "utf8"), { lang: "ts" });
    JSON.stringify(tree, (_, node: { regex?: { pattern: string; flags: string } } | null) => {
      if (node?.regex) add(new RegExp(node.regex.pattern, node.regex.flags));
      return node;
    });
  }
  return found;
}

/** The CPU time of this process in milliseconds. */
function cpuTime(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
}

/** The CPU time of the fastest run in milliseconds. Even that is longer if the machine is busy. */
function fastest(work: () => unknown, enough: number): number {
  let best = Infinity;
  for (let run = 0; run < 50; run += 1) {
    const began = cpuTime();
    work();
    best = Math.min(best, cpuTime() - began);
    if (best < enough || (run >= 5 && best > 20 * enough)) break;
  }
  return best;
}

test.each([...patterns()])("attack: a line of 100 kB keeps a pattern busy: %s", (_, pattern) => {
  for (const line of hostileLines(pattern.source)) {
    const all = pattern.global ? pattern : undefined;
    const matches = all ? [...line.matchAll(all)].length : 0;
    const taken = fastest(
      all ? () => line.replace(all, "") : () => pattern.exec(line),
      MOST + matches * PER_MATCH,
    );
    const shown = `${JSON.stringify(line.slice(0, 60))}: ${taken.toFixed(1)} ms`;
    expect(taken, shown).toBeLessThan(MOST + matches * PER_MATCH);
  }
});

test("attack: a log of long lines, each with what reasons begin with, keeps the diagnosis busy", () => {
  for (const pattern of rulePatterns()) {
    for (const parts of partsOf(pattern)) {
      const line = parts.join("").repeat(100).slice(0, 4096);
      expect(fastest(() => diagnose(Array<string>(400).fill(line)), 20)).toBeLessThan(20);
    }
  }
});

test("attack: a log of a million line ends, and one message of 4 MB", () => {
  for (const piece of ["\n", "a\n", "\u001b", "\u0000a", "Timeout "]) {
    const log = [piece.repeat(4_000_000 / piece.length)];
    expect(fastest(() => diagnose(log), 20)).toBeLessThan(20);
  }
  const reader = new StepReader();
  for (const begin of ["", "#1 [", "#1 sha256:0123456789ab ", "Using ", "Copying blob "]) {
    const line = begin + "#1 [ / ".repeat(15_000);
    expect(fastest(() => reader.read(line), MOST)).toBeLessThan(MOST);
  }
});
