// Checks the size of the element's script with its static imports, which can start and watch a launch.
// Parts that are imported on demand do not count. The classic script contains all parts.
import { gzipSync } from "node:zlib";
import { build } from "vite";

const LIMIT = 15_000;
const CLASSIC_LIMIT = 130_000;

async function chunks(mode) {
  const write = { write: false, emptyOutDir: false };
  const results = await build({ mode, logLevel: "silent", build: write });
  const all = [results].flat().flatMap((result) => result.output);
  return new Map(all.map((chunk) => [chunk.fileName, chunk]));
}

function zipped({ code }) {
  return gzipSync(code, { level: 9 }).length;
}

function check(names, size, limit) {
  console.log(`${names}: ${size} of ${limit} bytes, gzipped`);
  if (size > limit) process.exitCode = 1;
}

const pages = await chunks("production");
const needed = new Set(["binder-progress.js"]);
let size = 0;
// The loop also visits names that are added meanwhile.
for (const name of needed) {
  const chunk = pages.get(name);
  size += zipped(chunk);
  for (const imported of chunk.imports) needed.add(imported);
}
check([...needed].join(", "), size, LIMIT);

const name = "binder-progress.classic.js";
check(name, zipped((await chunks("classic")).get(name)), CLASSIC_LIMIT);
