import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig, type ViteUserConfig } from "vitest/config";

type Build = NonNullable<ViteUserConfig["build"]>;

const STATIC = "../share/binderprogress/static";

/** Remove the indentation of templates: Lit and the minifier keep it. */
const withoutIndentation = {
  name: "without-indentation",
  apply: "build" as const,
  transform: (code: string, id: string) =>
    /\/src\/(element\/(template|running|ending)|log\/[\w-]+)\.ts$/.test(id) ? { code: code.replace(/\n +/g, "\n"), map: null } : undefined,
};

/** The modules that the element always needs. Parts that are loaded on demand use them, too. */
const CORE =
  /node_modules\/(@?lit|lit-[a-z]+|@lit)\/|catalogs\/en\.json|element\.css|src\/(wire\/(client|detect|outdated|server-url)|session\/(outcome|progress|session)|element\/(element|focus|lazy|template)|i18n\/(language|words))\.ts/;

/** What a session needs once a launch has started, in one file. */
const WATCH = /eventsource-parser|src\/(wire\/(pause|reconnect|stream|watch)|session\/explain|element\/jupyter-server-url)/;

/** Files whose names other pages know. All others have a hash of their content in their names. */
const STABLE = ["binder-progress", "spawn-pending", "thebe"];

const fileName = ({ name }: { name: string }) => (STABLE.includes(name) ? "[name].js" : "assets/[name]-[hash].js");

/** Writes `manifest.json`, in which the server finds the files of its pages: from `core.js` to its name with the hash. */
const manifest: Plugin = {
  name: "manifest",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      const hashed = Object.keys(bundle).filter((name) => name.startsWith("assets/"));
      const pairs = hashed.map((name) => [name.replace(/^assets\/(.+)-[\w-]{8}(\.\w+)$/, "$1$2"), name]);
      const source = JSON.stringify(Object.fromEntries(pairs.sort()), null, 1);
      this.emitFile({ type: "asset", fileName: "manifest.json", source });
    },
  },
};

const CATALOGS = "src/i18n/catalogs";

type Texts = Record<string, string>;

const textsIn = (file: string) => JSON.parse(readFileSync(`${CATALOGS}/${file}`, "utf8")) as Texts;

/** Without the texts about parts that the server no longer has: the classic script has all parts. */
const withoutOutdated = ({ outdated: _outdated, reload: _reload, ...texts }: Texts) => texts;

/**
 * Catalogs of the classic script, which has all languages: texts have the order of the English ones, so that
 * their keys are there once. Compression does not find them again, 30 kB later.
 */
const orderedCatalogs: Plugin = {
  name: "ordered-catalogs",
  enforce: "pre",
  resolveId(id) {
    const [, language] = /\/catalogs\/(\w+)\.json$/.exec(id) ?? [];
    return language && language !== "en" && !id.includes("/more/") ? `\0catalog-${language}` : undefined;
  },
  load(id) {
    if (!id.startsWith("\0catalog-")) return undefined;
    const english = Object.keys({ ...withoutOutdated(textsIn("en.json")), ...textsIn("more/en.json") });
    const texts = withoutOutdated(textsIn(`${id.slice("\0catalog-".length)}.json`));
    const ordered = JSON.stringify(english.map((key) => texts[key] ?? ""));
    // A language may have more plural forms, or fewer.
    const others = JSON.stringify(Object.fromEntries(Object.entries(texts).filter(([key]) => !english.includes(key))));
    return `import { named } from "/src/i18n/ordered";\nexport default named(${ordered}, ${others});\n`;
  },
  transform(code, id) {
    if (!id.endsWith("/catalogs/en.json")) return undefined;
    return { code: JSON.stringify(withoutOutdated(JSON.parse(code) as Texts)), map: null };
  },
};

/** Writes `catalogs/de.json` and its neighbours, from which the server takes the texts of its pages. */
const catalogs: Plugin = {
  name: "catalogs",
  generateBundle() {
    for (const name of readdirSync(CATALOGS).filter((name) => name.endsWith(".json"))) {
      const files = ["", "more/", "pages/"].map((folder) => `${CATALOGS}/${folder}${name}`).filter(existsSync);
      const texts = files.map((file) => JSON.parse(readFileSync(file, "utf8")) as Texts);
      const source = JSON.stringify(Object.assign({}, ...texts));
      this.emitFile({ type: "asset", fileName: `catalogs/${name}`, source });
    }
  },
};

/** The scripts of the server's own pages, and the element as a module for other pages. */
const pages: Build = {
  outDir: STATIC,
  emptyOutDir: true,
  // In library mode, parts load each other by plain `import()`, relative to the script.
  lib: {
    entry: {
      "binder-progress": "src/element/define.ts",
      register: "src/element/register.ts",
      index: "src/pages/index.ts",
      launch: "src/pages/launch.ts",
      link: "src/pages/link.ts",
      "spawn-pending": "src/pages/spawn-pending.ts",
      thebe: "src/adapters/thebe.ts",
      stats: "src/pages/stats.ts",
      whatif: "src/pages/whatif.css",
      forms: "src/pages/forms.css",
      base: "src/pages/base.css",
    },
    formats: ["es"],
  },
  cssCodeSplit: true,
  minify: true,
  rolldownOptions: {
    output: {
      // The server lets browsers keep files in this folder for ever.
      entryFileNames: fileName,
      chunkFileNames: "assets/[name]-[hash].js",
      assetFileNames: ({ names }) => (names[0] === "spawn-pending.css" ? "[name][extname]" : "assets/[name]-[hash][extname]"),
      minify: true,
      // One file for what the element always needs: several would be larger when compressed.
      codeSplitting: {
        groups: [
          { name: "core", test: CORE },
          { name: "watch", test: WATCH },
        ],
      },
    },
  },
};

/** The element for pages that cannot load modules: one file with all parts. */
const classic: Build = {
  outDir: STATIC,
  emptyOutDir: false,
  copyPublicDir: false,
  lib: {
    entry: { "binder-progress.classic": "src/element/classic.ts" },
    formats: ["iife"],
    // Vite requires a name. Nothing is exported, so no global variable is created.
    name: "binderProgress",
  },
  minify: true,
  rolldownOptions: { output: { entryFileNames: "[name].js", codeSplitting: false, minify: true } },
};

/** The npm package. The application's bundler adds the dependencies and minifies. */
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

/** By the value of `vite build --mode`. */
const builds: Record<string, () => Build> = { classic: () => classic, npm: forNpm };

export default defineConfig(({ mode }) => ({
  plugins: [withoutIndentation, ...(mode in builds ? [] : [manifest, catalogs]), ...(mode === "classic" ? [orderedCatalogs] : [])],
  // The classic script never asks whether its parts are still there.
  ...(mode === "classic" ? { define: { "import.meta.url": '""' } } : {}),
  build: {
    target: "es2022",
    // Browsers with `light-dark()`, which the element's colour schemes need.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    ...(builds[mode]?.() ?? pages),
  },
  // Tests read the templates, and the test cases that they share with Python.
  server: { fs: { allow: [".."] } },
  test: {
    include: ["src/**/*.test.ts"],
    // Tests compare the documentation with the styles.
    css: true,
    // They start in less time than processes.
    pool: "threads",
    // Some compute for a second, which takes many times as long on a busy machine.
    testTimeout: 60_000,
  },
}));
