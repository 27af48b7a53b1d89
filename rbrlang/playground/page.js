"use strict";
// The page shows what Python (worker.js) says of the text and the answers. What is not the page's own is set as text.
const at = id => document.getElementById(id);
const own = JSON.parse(at("policy").textContent);
const state = { response: null, base: 0, answers: {} };
const editor = at("editor"), lines = []; // of the text as it lies below the editor, to bear its marks
const python = new Worker("data:text/javascript," + encodeURIComponent(own.worker), { type: "module" });
let busy = true, sent = null, wanted = false, typed = 0, checkedText = null, shape = "";

function make(name, { text, ...attributes } = {}, ...children) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node[key] = value;
  node.append(...children);
  return node;
}

// --- asking -----------------------------------------------------------------------------------

function ask() {
  wanted = true;
  if (busy) return;
  busy = true;
  wanted = false;
  const text = editor.value === sent ? undefined : (sent = editor.value);
  python.postMessage({ text, said: state });
}

python.onmessage = ({ data }) => {
  if (data.checked) showFindings(data.checked, data.text);
  if (data.panel !== undefined) showPanel(data.panel);
  if (data.failed) at("state").textContent = `Python failed: ${data.failed}`;
  if (data.done || data.failed) {
    busy = false;
    if (wanted) ask();
  }
};
python.onerror = () => { at("state").textContent = "this browser cannot run Python in a page; a current Chromium, Firefox or Safari can"; };

// --- the text ---------------------------------------------------------------------------------

function edited() {
  // Only the lines that changed, so that the browser lays out no more, and moves the marks in and below them.
  const before = lines.map(line => line.data), after = editor.value.split("\n");
  const least = Math.min(before.length, after.length);
  let start = 0, same = 0;
  while (start < least && before[start] === after[start]) start++;
  while (same < least - start && before.at(-1 - same) === after.at(-1 - same)) same++;
  const gone = lines.slice(start, lines.length - same), come = after.slice(start, after.length - same);
  if (gone.length === 1 && come.length === 1) return stretch(gone[0], come[0]);
  const made = come.map(text => new Text(text)), below = lines[lines.length - same]?.parentNode ?? null;
  for (const line of gone) line.parentNode.remove();
  for (const line of made) at("mirror").insertBefore(make("div", {}, line), below);
  lines.splice(start, gone.length, ...made);
}

function stretch(line, text) {
  let start = 0, same = 0;
  const least = Math.min(line.length, text.length);
  while (start < least && line.data[start] === text[start]) start++;
  while (same < least - start && line.data.at(-1 - same) === text.at(-1 - same)) same++;
  line.replaceData(start, line.length - start - same, text.slice(start, text.length - same));
}

editor.addEventListener("input", () => {
  typed = performance.now();
  edited();
  ask();
});

function mark(found) {
  const marks = { note: new Highlight(), warning: new Highlight(), error: new Highlight() };
  const starts = [0];
  for (const line of lines) starts.push(starts.at(-1) + line.length + 1);
  const point = offset => {
    const number = Math.max(0, Math.min(starts.findIndex(start => start > offset), lines.length) - 1);
    return [lines[number], Math.min(offset - starts[number], lines[number].length)];
  };
  for (const { severity, start, end } of found) {
    if (start === undefined) continue;
    const range = new Range();
    range.setStart(...point(start));
    range.setEnd(...point(Math.max(end, start + 1)));
    marks[severity].add(range);
  }
  for (const [name, highlight] of Object.entries(marks)) CSS.highlights.set(name, highlight);
}

function replace(start, end, text) {
  editor.focus();
  editor.setSelectionRange(start, end);
  // The one way that leaves the step to the browser's own undo.
  document.execCommand(text ? "insertText" : "delete", false, text);
}

function place({ start, end, file }, words) {
  if (start === undefined) return make("span", { text: `${file}: ${words}` });
  return make("button", { type: "button", text: words, onclick: () => {
    editor.focus();
    editor.setSelectionRange(start, Math.max(end, start + 1));
  } });
}

function showFindings({ findings, ok, more }, text) {
  checkedText = text;
  at("stale").hidden = ok;
  if (text === editor.value) mark(findings);
  fill("findings", findings.map(found => make("li", { className: found.severity },
    make("div", { className: "row" }, make("span", { className: "head", text: `${found.severity}[${found.code}]: ${found.message}` }),
      place(found, `line ${found.line}`)),
    ...found.related.map(other => make("p", { className: "small" }, place(other, other.message))),
    ...found.notes.map(([name, said]) => make("p", { className: "small", text: `${name}: ${said}` })),
    ...found.fixes.map(fix => make("p", {}, make("button", { type: "button", text: `Fix: ${fix.title}`, onclick: () => {
      if (editor.value === checkedText) replace(fix.start, fix.end, fix.text);
    } }))),
  )));
  const counts = ["error", "warning", "note"].map(kind => [findings.filter(one => one.severity === kind).length, kind]);
  const said = counts.filter(([count]) => count).map(([count, kind]) => `${count} ${kind}${count > 1 ? "s" : ""}`);
  at("state").textContent = (said.join(", ") || "no findings") + (more ? `, and ${more} more findings that are not shown` : "");
  if (typed && text === editor.value) {
    at("time").textContent = `in ${Math.round(performance.now() - typed)} ms`;
    at("time").dataset.ms = performance.now() - typed;
    typed = 0;
  }
}

// --- the answers ------------------------------------------------------------------------------

function fill(id, rows) {
  // A button that was pressed keeps the focus in the list that it changed.
  const list = at(id), label = list.contains(document.activeElement) ? document.activeElement.textContent : null;
  list.replaceChildren(...rows);
  if (label !== null) [...list.querySelectorAll("button")].find(one => one.textContent === label)?.focus();
}

const percent = p => p === null ? "unknown" : `${(100 * p).toFixed(1)} %`;
const signed = x => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(3)}`;
const spoken = answer => answer === null ? "unknown" : answer === 1 ? "yes" : answer === 0 ? "no" : String(answer);

function say(answers) {
  Object.assign(state.answers, answers);
  ask();
}

const settings = {}; // of the controls that are shown, by name: what shows an answer

function choice(control, label, value) {
  const input = make("input", { type: "radio", name: `answer ${control.name}`, onchange: () => say({ [control.name]: value }) });
  return [make("label", {}, input, ` ${label}`), answer => { input.checked = answer === value; }];
}

function makeControl(control) {
  const parts = [], shows = [];
  if (control.values) {
    const select = make("select", { ariaLabel: control.name, onchange: () => say({ [control.name]: select.value === "?" ? null : select.value.slice(1) }) },
      ...control.values.map(value => new Option(value, `=${value}`)), new Option("unknown", "?"));
    parts.push(select);
    shows.push(answer => { select.value = answer === null ? "?" : `=${answer}`; });
  } else if (control.kind === "rubric") {
    const input = make("input", { type: "number", step: "any", ariaLabel: control.name, oninput: () => say({ [control.name]: input.valueAsNumber || 0 }) });
    parts.push(input);
    shows.push(answer => { if (input.valueAsNumber !== answer && document.activeElement !== input) input.value = answer; });
  } else {
    for (const [label, value] of [["no", 0], ["unknown", null], ["yes", 1]]) {
      const [node, show] = choice(control, label, value);
      parts.push(node);
      shows.push(show);
    }
    if (control.kind === "chance") {
      const slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, ariaLabel: `how likely ${control.name} is`, oninput: () => say({ [control.name]: slider.valueAsNumber }) });
      const output = make("output");
      parts.push(slider, output);
      shows.push(answer => { slider.value = answer ?? 0.5; output.textContent = answer === null ? "?" : answer.toFixed(2); });
    }
  }
  settings[control.name] = answer => shows.forEach(show => show(answer));
  return make("fieldset", {}, make("legend", { text: control.name }),
    ...(control.statement ? [make("p", { className: "small", text: control.statement })] : []), make("div", { className: "row" }, ...parts));
}

function showControls(controls) {
  const now = JSON.stringify(controls.map(({ answer, ...rest }) => rest));
  if (now !== shape) at("controls").replaceChildren(...controls.map(makeControl));
  shape = now;
  for (const { name, answer } of controls) settings[name](answer);
}

function showPanel(panel) {
  at("panel").hidden = panel === null || Boolean(panel.responses && !panel.responses.length);
  if (at("panel").hidden) return;
  if (panel.spent) {
    at("because").textContent = panel.spent;
    return;
  }
  const types = at("response");
  if ([...types.options].map(one => one.value).join() !== panel.responses.join()) types.replaceChildren(...panel.responses.map(name => new Option(name)));
  types.value = panel.response;
  if (document.activeElement !== at("base")) at("base").value = panel.base;
  const reward = at("reward");
  reward.value = panel.reward ?? "";
  reward.textContent = panel.reward === null ? "none" : signed(panel.reward);
  at("between").textContent = panel.reward === null && panel.low !== null ? `from ${signed(panel.low)} to ${signed(panel.high)}` : "";
  at("because").textContent = panel.reason ?? panel.because ?? "";
  const most = Math.max(...panel.classes.map(one => one.p ?? 0));
  fill("classes", panel.classes.map(one => {
    const bar = make("span", { className: "bar", ariaHidden: "true" });
    bar.style.setProperty("--p", one.p ?? 0);
    const row = make("li", {}, make("div", { className: one.p && one.p === most ? "row likeliest" : "row" },
      make("span", { text: one.name }), make("data", { value: one.p ?? "", text: percent(one.p) })), bar);
    if (one.witness === null) row.append(make("span", { className: "small", text: "no completion is" }));
    else row.append(make("span", { className: "small", text: `always if ${one.witness}` }));
    if (one.way?.text) row.append(make("p", {}, make("button", { type: "button", text: `Make it ${one.name}`, title: one.way.text, onclick: () => say(one.way.answers) }),
      make("span", { className: "small", text: ` ${one.way.text}` })));
    return row;
  }));
  at("addends").replaceChildren(...panel.addends.filter(([name, value]) => value || name === "base_reward").map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row", text: name }), make("td", { className: "n" }, make("data", { value, text: signed(value) })))));
  fill("changes", panel.changes.length ? panel.changes.map(one => make("li", { className: "row" },
    make("span", { text: `reward ${one.reward === null ? "unknown" : signed(one.reward)}${one.moved === null ? "" : ` (${signed(one.moved)})`}${one.class === null ? "" : `, ${one.class}`}` }),
    make("button", { type: "button", text: `${one.name}: ${spoken(one.answer)}`, onclick: () => say({ [one.name]: one.answer }) }),
  )) : [make("li", { text: "no single answer moves anything" })]);
  showControls(panel.controls);
}

at("response").addEventListener("change", () => { state.response = at("response").value; ask(); });
at("base").addEventListener("input", () => { state.base = at("base").valueAsNumber || 0; ask(); });

// --- links ------------------------------------------------------------------------------------

async function through(stream, bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

async function link() {
  const said = { ...state, ...(editor.value === own.text ? {} : { text: editor.value }) };
  const packed = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(said)));
  return btoa(Array.from(packed, byte => String.fromCharCode(byte)).join("")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function restore() {
  let said = {};
  if (location.hash.length > 1) {
    try {
      const packed = Uint8Array.from(atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/")), letter => letter.charCodeAt(0));
      said = JSON.parse(new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), packed))) ?? {};
      at("shared").textContent = "";
    } catch {
      at("shared").textContent = "this link cannot be read; this is the page's own policy";
    }
  }
  Object.assign(state, { response: said.response ?? null, base: Number(said.base) || 0, answers: Object(said.answers) });
  editor.value = String(said.text ?? own.text);
  edited();
  ask();
}

at("share").addEventListener("click", async () => {
  history.replaceState(null, "", `#${await link()}`);
  try {
    await navigator.clipboard.writeText(location.href);
    at("shared").textContent = "copied; the link holds the policy and the answers";
  } catch {
    at("shared").textContent = "the link is in the address bar";
  }
});
at("reset").addEventListener("click", () => { history.replaceState(null, "", location.pathname); restore(); });
addEventListener("hashchange", restore);

restore().then(() => python.postMessage({ parts: Object.fromEntries([...document.querySelectorAll("script[data-part]")].map(one => [one.dataset.part, one.textContent])), files: own.files, root: own.root }));
