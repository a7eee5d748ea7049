import { defineConfig } from "vitest/config";

export default defineConfig({
  // The pages are the server's templates; here are only the files they name.
  build: {
    outDir: "../share/binderprogress/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    rolldownOptions: {
      input: {
        launch: "src/launch.ts",
        link: "src/link.ts",
        base: "src/base.css",
        index: "src/index.css",
      },
      output: {
        // No hashes: the templates name these files, and the server sends an ETag.
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  // The tests read the templates and the cases they share with Python.
  server: { fs: { allow: [".."] } },
  test: {
    include: ["src/**/*.test.ts"],
  },
});
