// Writes compressed files beside the files of pages, which the server sends in their place.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";
import { gzipAsync } from "@gfx/zopfli";

const FOLDER = new URL("../../share/binderprogress/static/", import.meta.url);
const TEXT = /\.(?:js|css|svg)$/;
// Smaller ones would not become smaller.
const SMALLEST = 100;

const names = readdirSync(FOLDER, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
for (const name of names.filter((name) => TEXT.test(name))) {
  const content = readFileSync(new URL(name, FOLDER));
  if (content.length < SMALLEST) continue;
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(new URL(`${name}.br`, FOLDER), brotliCompressSync(content, { params }));
  // Zopfli's files are 3 % smaller than those of zlib, for browsers that load pages over plain http.
  writeFileSync(new URL(`${name}.gz`, FOLDER), await gzipAsync(content, { numiterations: 5 }));
}
