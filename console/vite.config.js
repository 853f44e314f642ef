import { defineConfig } from "vite";

// CAIRN_URL: the server, or mock/server.mjs, that `npm run dev` passes the API's requests to.
const server = process.env.CAIRN_URL ?? "http://127.0.0.1:7480";

export default defineConfig({
  base: "/console/",
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
  server: { proxy: Object.fromEntries(["/v1", "/healthz", "/readyz", "/openapi.json"].map((path) => [path, server])) },
});
