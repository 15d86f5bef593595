// Builds into the API's static files. Names have no hash: the API sends each file with an ETag, and git shows a change.
import { defaultClientConditions, defineConfig } from "vite";

export default defineConfig({
  base: "./",
  // The files of onnxruntime lie beside its code and are not part of it.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  worker: {
    format: "es",
    rolldownOptions: { output: { entryFileNames: "decoder.js", assetFileNames: "[name][extname]" } },
  },
  build: {
    outDir: "../api/static/pages",
    emptyOutDir: true,
    target: "es2023",
    cssTarget: "chrome123",
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: "src/app.tsx",
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
