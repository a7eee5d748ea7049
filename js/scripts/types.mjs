// Writes the types of the npm package. TypeScript's output is for bundlers. For Node.js, relative imports
// need the file extension, and imported JSON is replaced by its type.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const TYPES = "dist/types";

rmSync(TYPES, { recursive: true, force: true });
execFileSync("tsc", ["--project", "tsconfig.npm.json"], { stdio: "inherit" });

for (const name of readdirSync(TYPES, { recursive: true })) {
  if (!name.endsWith(".d.ts")) continue;
  const json = (_, variable, path) =>
    `declare const ${variable}: ${readFileSync(join("src", dirname(name), path), "utf8").trim()};`;
  const types = readFileSync(join(TYPES, name), "utf8")
    .replace(/import (?:type )?(\w+) from "(\.[^"]+\.json)";/g, json)
    .replace(/((?:from|import\(?) ?)"(\.[^"]+)"/g, '$1"$2.js"');
  writeFileSync(join(TYPES, name), types);
}
