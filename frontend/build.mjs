// Builds evalkit/results/site/static from these sources: the page's script and style, the search worker (inlined), the typesetting
// script (KaTeX and highlight.js, loaded when a sample is opened), KaTeX's fonts, the licences, and a manifest.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "evalkit", "results", "site", "static");
const assets = join(out, "assets");

async function bundle(entry, name, define = {}) {
  const result = await build({
    root: here,
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    define: { "process.env.NODE_ENV": '"production"', ...define },
    esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
    build: {
      target: "es2022",
      write: false,
      minify: "esbuild",
      modulePreload: false,
      lib: { entry: join(here, "src", entry), formats: ["iife"], name, fileName: () => `${name}.js`, cssFileName: name },
    },
  });
  const files = (Array.isArray(result) ? result[0] : result).output;
  return Object.fromEntries(files.map((f) => [f.fileName, f.type === "chunk" ? f.code : f.source]));
}

function walk(folder) {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => (statSync(join(folder, name)).isDirectory() ? walk(join(folder, name)) : [join(folder, name)]));
}

const digest = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const digests = (root, paths) => Object.fromEntries(paths.map((p) => [relative(root, p).replaceAll("\\", "/"), digest(p)]));

rmSync(out, { recursive: true, force: true });
mkdirSync(join(assets, "fonts"), { recursive: true });
const worker = (await bundle("worker.ts", "evalkitSearch"))["evalkitSearch.js"];
const app = await bundle("main.tsx", "app", { __WORKER__: JSON.stringify(worker) });
writeFileSync(join(assets, "app.js"), app["app.js"]);
writeFileSync(join(assets, "app.css"), app["app.css"]);
const typeset = await bundle("typeset.ts", "evalkitTypeset");
writeFileSync(join(assets, "typeset.js"), typeset["evalkitTypeset.js"]);

const katex = join(here, "node_modules", "katex");
const style = readFileSync(join(katex, "dist", "katex.min.css"), "utf8");
// every browser that reads this page knows woff2
writeFileSync(
  join(assets, "katex.css"),
  style.replace(/,url\([^)]*\.woff\) format\("woff"\),url\([^)]*\.ttf\) format\("truetype"\)/g, ""),
);
for (const name of readdirSync(join(katex, "dist", "fonts")).sort()) {
  if (name.endsWith(".woff2")) cpSync(join(katex, "dist", "fonts", name), join(assets, "fonts", name));
}
const licences = ["katex", "preact", "uplot", "highlight.js"].map((name) => {
  const found = JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8"));
  return `${name} ${found.version} (${found.license})\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(assets, "licences.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
cpSync(join(here, "index.html"), join(out, "index.html"));
cpSync(join(here, "icon.svg"), join(assets, "icon.svg"));

const own = ["index.html", "icon.svg", "build.mjs", "package.json", "package-lock.json", "tsconfig.json"].map((name) => join(here, name));
const manifest = {
  katex: JSON.parse(readFileSync(join(katex, "package.json"), "utf8")).version,
  sources: digests(here, [...own, ...walk(join(here, "src"))]),
  built: digests(out, walk(out)),
};
writeFileSync(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
