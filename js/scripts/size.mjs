// Checks the size of the element's script with its static imports, which can start and watch a launch.
// Parts that are imported on demand do not count. The classic script contains all parts.
import { build } from "vite";

const LIMIT = 15_000;
const CLASSIC_LIMIT = 130_000;

async function chunks(mode) {
  const write = { write: false, emptyOutDir: false };
  const results = await build({ mode, logLevel: "silent", build: write });
  const all = [results].flat().flatMap((result) => result.output);
  return new Map(all.map((chunk) => [chunk.fileName, chunk]));
}

/** The size of what the server sends, see compress.mjs. */
async function zipped({ code }) {
  // Imported after the builds: it prints all of its code when something else fails.
  const { gzipAsync } = await import("@gfx/zopfli");
  return (await gzipAsync(code, { numiterations: 5 })).length;
}

function check(names, size, limit) {
  console.log(`${names}: ${size} of ${limit} bytes, gzipped`);
  if (size > limit) process.exitCode = 1;
}

const name = "binder-progress.classic.js";
const [pages, classic] = [await chunks("production"), await chunks("classic")];
const needed = new Set(["binder-progress.js"]);
let size = 0;
// The loop also visits names that are added meanwhile.
for (const file of needed) {
  const chunk = pages.get(file);
  size += await zipped(chunk);
  for (const imported of chunk.imports) needed.add(imported);
}
check([...needed].join(", "), size, LIMIT);

check(name, await zipped(classic.get(name)), CLASSIC_LIMIT);
