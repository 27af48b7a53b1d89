// Python beside the page: it is given the parts of itself, then texts and answers. Nothing is ever fetched.
let play;

async function unpacked(base64) {
  const letters = atob(base64), bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at); // twenty times as fast as `from`
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function start({ parts, files, root }) {
  const names = Object.keys(parts);
  const found = await Promise.all(names.map(name => unpacked(parts[name])));
  const part = Object.fromEntries(names.map((name, at) => [name, found[at]]));
  const script = name => import(URL.createObjectURL(new Blob([part[name]], { type: "text/javascript" })));
  // Pyodide asks for its own files by address; they are all here.
  self.fetch = async address => {
    const name = String(address).split("/").pop();
    return new Response(part[name], { headers: name.endsWith(".wasm") ? { "content-type": "application/wasm" } : {} });
  };
  const [{ loadPyodide }, { default: createPyodideModule }] = [await script("pyodide.mjs"), await script("pyodide.asm.mjs")];
  const lockFileContents = { info: { abi_version: "2026_0", arch: "wasm32", platform: "emscripten_5_0_3", python: "3.14.2" }, packages: {} };
  const python = await loadPyodide({ indexURL: "https://parts.invalid/", createPyodideModule, lockFileContents });
  python.unpackArchive(part["rbrlang.zip"], "zip", { extractDir: "/package" });
  for (const [name, text] of Object.entries(files)) {
    const path = `/policy/${name}`;
    python.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    python.FS.writeFile(path, text);
  }
  python.runPython("import sys; sys.path.insert(0, '/package')");
  play = python.pyimport("rbrlang.playground.core").Playground(`/policy/${root}`);
}

self.onmessage = async ({ data }) => {
  try {
    if (data.parts) await start(data);
    else {
      if (data.text !== undefined) postMessage({ checked: JSON.parse(play.findings(data.text)), text: data.text });
      postMessage({ panel: JSON.parse(play.panel(JSON.stringify(data.said))) });
    }
    postMessage({ done: true });
  } catch (error) {
    postMessage({ failed: String(error.message ?? error) });
  }
};
