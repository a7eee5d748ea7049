// The element with all it needs to start a launch stays small: its script and what that imports
// statically. What it imports when wanted does not count.
import { gzipSync } from "node:zlib";
import { build } from "vite";

const LIMIT = 15_000;

const results = await build({ logLevel: "silent", build: { write: false, emptyOutDir: false } });
const chunks = [results].flat().flatMap((result) => result.output);
const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));

const needed = new Set(["binder-progress.js"]);
let size = 0;
// A set goes on with what is added meanwhile.
for (const name of needed) {
  const { code, imports } = byName.get(name);
  size += gzipSync(code, { level: 9 }).length;
  for (const imported of imports) needed.add(imported);
}

console.log(`${[...needed].join(", ")}: ${size} of ${LIMIT} bytes, gzipped`);
if (size > LIMIT) process.exitCode = 1;
