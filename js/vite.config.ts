import { readFileSync } from "node:fs";
import { defineConfig, type ViteUserConfig } from "vitest/config";

type Build = NonNullable<ViteUserConfig["build"]>;

const STATIC = "../share/binderprogress/static";

/** Lit keeps the white space of its templates, and so does the minifier: indentation goes here. */
const withoutIndentation = {
  name: "without-indentation",
  apply: "build" as const,
  transform: (code: string, id: string) =>
    /\/src\/(element\/(template|running|ending)|log\/[\w-]+)\.ts$/.test(id) ? { code: code.replace(/\n +/g, "\n"), map: null } : undefined,
};

/** The modules that the element cannot do without. What it loads when wanted may use them, too. */
const CORE =
  /node_modules\/(@?lit|lit-[a-z]+|@lit|eventsource-parser)\/|catalogs\/en\.json|element\.css|src\/(wire\/(client|detect|pause|reconnect|server-url|stream)|session\/(progress|session)|element\/(element|focus|lazy|template)|i18n\/(language|words))\.ts/;

/** What the server's pages name, and what pages elsewhere load as a module. */
const pages: Build = {
  outDir: STATIC,
  emptyOutDir: true,
  // A library: its parts load each other by plain `import()`, from wherever the script is.
  lib: {
    entry: {
      "binder-progress": "src/element/define.ts",
      index: "src/pages/index.ts",
      launch: "src/pages/launch.ts",
      link: "src/pages/link.ts",
      "spawn-pending": "src/pages/spawn-pending.ts",
      stats: "src/pages/stats.ts",
      base: "src/pages/base.css",
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
      codeSplitting: { groups: [{ name: "core", test: CORE }] },
    },
  },
};

/** The element for pages that may not load modules: one file, with the parts loaded when wanted. */
const classic: Build = {
  outDir: STATIC,
  emptyOutDir: false,
  copyPublicDir: false,
  lib: {
    entry: { "binder-progress.classic": "src/element/classic.ts" },
    formats: ["iife"],
    // Vite asks for one. Nothing is exported, and so no global variable is made.
    name: "binderProgress",
  },
  minify: true,
  rolldownOptions: { output: { entryFileNames: "[name].js", codeSplitting: false, minify: true } },
};

/** What npm installs: whoever bundles it brings the dependencies, and minifies. */
function forNpm(): Build {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    dependencies: Record<string, string>;
  };
  return {
    outDir: "dist",
    emptyOutDir: true,
    copyPublicDir: false,
    lib: {
      entry: { main: "src/main.ts", define: "src/element/define.ts", client: "src/main-client.ts" },
      formats: ["es"],
    },
    minify: false,
    rolldownOptions: {
      external: Object.keys(dependencies).map((name) => new RegExp(`^${name}(/|$)`)),
      output: { entryFileNames: "[name].js", chunkFileNames: "parts/[name].js" },
    },
  };
}

/** By the name that `vite build --mode` is given. */
const builds: Record<string, () => Build> = { classic: () => classic, npm: forNpm };

export default defineConfig(({ mode }) => ({
  plugins: [withoutIndentation],
  build: {
    target: "es2022",
    // Those that know `light-dark()`, by which the element follows the page's colour scheme.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    ...(builds[mode]?.() ?? pages),
  },
  // The tests read the templates and the cases they share with Python.
  server: { fs: { allow: [".."] } },
  test: {
    include: ["src/**/*.test.ts"],
    // The documentation is compared with the style.
    css: true,
  },
}));
