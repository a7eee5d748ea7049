// Writes compressed files beside the files of pages, which the server sends in their place.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const FOLDER = new URL("../../share/binderprogress/static/", import.meta.url);
const TEXT = /\.(?:js|css|svg)$/;
// Smaller ones would not become smaller.
const SMALLEST = 100;

for (const name of readdirSync(FOLDER).filter((name) => TEXT.test(name))) {
  const file = new URL(name, FOLDER);
  const content = readFileSync(file);
  if (content.length < SMALLEST) continue;
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(new URL(`${name}.br`, FOLDER), brotliCompressSync(content, { params }));
  writeFileSync(new URL(`${name}.gz`, FOLDER), gzipSync(content, { level: 9 }));
}
