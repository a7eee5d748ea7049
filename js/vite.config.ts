import { defineConfig } from "vitest/config";

/** Lit keeps the white space of its templates, and so does the minifier: indentation goes here. */
const withoutIndentation = {
  name: "without-indentation",
  apply: "build" as const,
  transform: (code: string, id: string) =>
    id.endsWith("/src/template.ts") ? { code: code.replace(/\n +/g, "\n"), map: null } : undefined,
};

export default defineConfig({
  plugins: [withoutIndentation],
  // The pages are the server's templates; here are only the files they name.
  build: {
    outDir: "../share/binderprogress/static",
    emptyOutDir: true,
    target: "es2022",
    // Those that know `light-dark()`, by which the element follows the page's colour scheme.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // A library: its parts load each other by plain `import()`, from wherever the script is.
    lib: {
      entry: {
        "binder-progress": "src/define.ts",
        launch: "src/launch.ts",
        link: "src/link.ts",
        base: "src/base.css",
        index: "src/index.css",
      },
      formats: ["es"],
    },
    cssCodeSplit: true,
    minify: true,
    rolldownOptions: {
      output: {
        // No hashes: the templates name these files, and the server sends an ETag.
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
        minify: true,
        // One file for what the element always needs: in pieces it would be larger.
        codeSplitting: {
          groups: [
            {
              name: "core",
              test: /node_modules\/(lit|@lit|lit-[a-z]+|eventsource-parser)\/|src\/(client|detect|element|focus|hub-url|language|lazy|progress|session|stream|template|words)\.ts|catalogs\/en\.json|element\.css/,
            },
          ],
        },
      },
    },
  },
  // The tests read the templates and the cases they share with Python.
  server: { fs: { allow: [".."] } },
  test: {
    include: ["src/**/*.test.ts"],
    // The documentation is compared with the style.
    css: true,
  },
});
