// Bundles the extension and the client library into one file, with the licences of all that went into it beside it.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const esbuild = require("esbuild");

const built = esbuild.buildSync({
  entryPoints: ["extension.js"],
  outfile: "dist/extension.js",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node18",
  external: ["vscode"],
  metafile: true,
});
const folders = Object.keys(built.metafile.inputs).map((input) => input.match(/^.*node_modules\/(@[^/]+\/)?[^/]+/)?.[0]);
const licences = [...new Set(folders)].filter(Boolean).sort().map((folder) => {
  const file = fs.readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) throw new Error(`${folder} has no licence`);
  return `${path.basename(folder)}\n\n${fs.readFileSync(path.join(folder, file), "utf8").trim()}\n`;
});
fs.writeFileSync("dist/LICENSES.txt", licences.join("\n\n"));
