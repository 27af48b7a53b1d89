// The labelling page. All text of rows and policies is put in as text, never as markup.

const at = id => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token") ?? "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", location.pathname);  // the token stays out of the history

const state = { who: "", info: null, queue: [], place: 0, unit: null, row: null, last: null, ended: false, busy: 0, chain: Promise.resolve() };
const adjudicating = () => at("what").value === "adjudicate";
const question = () => state.info.questions.find(one => one.at === state.queue[state.place][2]);

async function ask(route, more = {}) {
  const reply = await fetch(`api/${route}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ annotator: state.who, adjudicate: adjudicating(), ...more }),
  });
  const said = await reply.json();
  if (!reply.ok) throw new Error(reply.status === 401 ? "open the address that `rbrc label` printed: it holds the token" : said.error.message);
  return said;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const judged = { final: "the last answer", assistant: "all that the assistant says", trajectory: "the whole completion", thought: "what it thinks" };
const percent = share => `${Math.round(100 * share)} %`;
const interval = one => one.share === null ? "" :
  `${one.of === "agreement" ? "agrees with the grader" : one.answer} ${percent(one.share)} (${percent(one.low)} to ${percent(one.high)})`;
const more = one => one.more === null ? `too few random rows for ±${percent(state.info.until)}` : one.more ? `${one.more} more for ±${percent(state.info.until)}` : "narrow enough";

function tell(text) { at("told").textContent = text; }

function showProgress() {
  const asked = state.queue.length ? question() : null;
  const done = state.queue.filter(one => one[3] !== null).length;
  at("progress").textContent = `${done} of ${state.queue.length} answered` +
    (asked && !adjudicating() ? ` · ${[interval(asked.progress), more(asked.progress)].filter(Boolean).join(", ")}` : "");
}

function turn({ who, pieces }) {
  const shown = pieces.map(([kind, text, judged]) =>
    element("div", { className: `text piece-${kind}${judged ? " judged" : ""}`, textContent: text || "(no text)" }));
  return element("div", { className: "turn" }, element("p", { className: "small", textContent: who }), ...shown);
}

function showConversation(unit) {
  const several = unit.completions.length > 1;
  const sides = unit.completions.map((turns, number) =>
    element("div", {}, ...(several ? [element("h3", { textContent: ["First", "Second"][number] })] : []), ...turns.map(turn)));
  at("conversation").replaceChildren(
    element("p", { className: "small", textContent: [unit.type, unit.id].filter(Boolean).join(" · ") }),
    ...unit.before.map(turn),
    several ? element("div", { className: "sides" }, ...sides) : sides[0],
    ...(unit.silence ? [element("p", { className: "small", textContent: unit.silence })] : []));
}

function showAnswers(asked, answer) {
  const focused = [...at("answers").children].indexOf(document.activeElement);
  const button = (key, name, about, value) => {
    const made = element("button", { type: "button" }, element("kbd", { textContent: key }), element("span", { textContent: about ? `${name}: ${about}` : name }));
    made.setAttribute("aria-pressed", String(answer === value));
    made.addEventListener("click", () => act(() => save(value)));
    return made;
  };
  at("answers").replaceChildren(
    ...asked.values.map((value, number) => button(asked.keys[number], value, asked.about[number], value)),
    button("?", "cannot tell", "", "?"));
  if (focused >= 0) at("answers").children[Math.min(focused, asked.values.length)].focus();
}

function showExamples(asked) {
  at("help").hidden = asked.examples.length === 0;
  at("examples").replaceChildren(...asked.examples.flatMap(one => [
    element("h3", { textContent: `${one.answer}${one.because ? `, because ${one.because}` : ""}` }),
    ...one.messages.map(([role, text]) => element("div", { className: "text", textContent: `${role}: ${text}` })),
  ]));
}

function showBeside(said) {
  const row = state.queue[state.place][1];
  const whole = at("what").value === "completion";
  const beside = whole ? state.queue.filter(one => one[1] === row).map(([unit, , number, answer, place]) => {
    const { name, kind } = state.info.questions.find(other => other.at === number);
    return [kind === "criterion" ? `${name} ${place + 1}` : name, answer, unit === state.unit];
  }) : Object.entries(said).map(([who, answer]) => [who, answer, false]);
  at("beside").hidden = beside.length === 0;
  at("beside").setAttribute("aria-label", whole ? "Questions of this completion" : "What annotators said");
  at("beside").replaceChildren(...beside.map(([name, answer, current]) => {
    const made = element("li", { textContent: answer === null ? name : `${name} = ${answer}` });
    if (current) made.setAttribute("aria-current", "true");
    return made;
  }));
}

async function show() {
  const empty = state.queue.length === 0;
  at("ask").hidden = at("conversation").hidden = empty;
  showProgress();
  if (empty) { at("progress").textContent = adjudicating() ? "nobody disagrees" : "there is nothing to ask"; return; }
  const key = state.queue[state.place][0], asked = question();
  const unit = await ask("unit", { unit: key });
  if (state.queue[state.place][1] !== state.row) scrollTo(0, 0);
  state.row = state.queue[state.place][1];
  state.unit = key;
  at("name-of").textContent = `${asked.name} · ${judged[asked.over]} is judged, highlighted below`;
  at("asked").textContent = unit.asked;
  at("statement").textContent = unit.beside;
  showAnswers(asked, unit.answer);
  showExamples(asked);
  showConversation(unit);
  showBeside(unit.said);
  at("ask").dataset.unit = key;
}

function tellEnd() {
  const open = state.info.questions.find(one => one.progress.done < one.progress.units);
  if (adjudicating()) tell("all is decided; ← goes back");
  else if (open) tell(`all of this is answered; ← goes back, or choose ${open.name} above, of which ${open.progress.units - open.progress.done} are open`);
  else tell("all is answered; ← goes back, or end the desk");
}

function next() {
  const open = state.queue.map((one, place) => [one, place]).filter(([one]) => one[3] === null);
  const found = open.find(([, place]) => place > state.place) ?? open[0];
  state.ended = !found;
  if (!found) { tellEnd(); return; }
  state.place = found[1];
}

async function save(value) {
  const entry = state.queue[state.place], asked = question();
  const said = await ask("label", { unit: entry[0], value });
  entry[3] = value;
  asked.progress = said.progress;
  state.last = entry[0];
  tell(`saved: ${asked.name} = ${value === "?" ? "cannot tell" : value}`);
  next();
  await show();
}

async function undo() {
  const said = await ask("undo");
  if (said.unit === null) { tell("there is nothing to undo"); return; }
  if (!state.queue.some(one => one[0] === said.unit)) at("what").value = adjudicating() ? "adjudicate" : String(said.question);
  await load();
  state.info.questions.find(one => one.at === said.question).progress = said.progress;
  state.place = Math.max(0, state.queue.findIndex(one => one[0] === said.unit));
  state.ended = false;
  tell("undone");
  await show();
}

async function move(step) {
  state.place = (state.place + step + state.queue.length) % Math.max(1, state.queue.length);
  state.ended = false;
  tell("");
  await show();
}

async function grader() {
  const entry = state.queue[state.place];
  const unit = entry[3] !== null ? entry[0] : state.last;
  if (!unit) { tell("the grader's answer is shown after yours"); return; }
  const said = await ask("grader", { unit });
  tell(`the grader on ${unit === entry[0] ? "this" : "the one before"}: ${said.says}`);
}

async function load() {
  const what = at("what").value;
  const { units } = await ask("queue", { question: ["completion", "adjudicate"].includes(what) ? null : Number(what) });
  state.queue = units;
  const open = units.findIndex(one => one[3] === null);
  state.place = Math.max(0, open);
  state.ended = open < 0;  // what is shown was answered: no key may answer it again unseen
}

async function status() {
  const open = at("status").hidden;
  at("status").hidden = !open;
  at("desk").hidden = open;
  if (!open) { at("status-open").focus(); return; }
  const number = value => value === null ? "–" : value.toFixed(2);
  const { questions } = await ask("status");
  at("status-rows").replaceChildren(...questions.map(one => {
    const p = one.progress;
    const cells = [
      ["n", `${p.done} of ${p.units}`],
      ["", Object.entries(one.annotators).map(([who, count]) => `${who} ${count}`).join(", ")],
      ["", one.kappa.map(pair => `${pair.annotators.join(" and ")} ${number(pair.kappa)}`).join(", ")],
      ["n", number(one.alpha)], ["n", String(one.disagreements)], ["", interval(p)], ["n", p.more === null ? "too few rows" : String(p.more)],
    ];
    return element("tr", {}, element("th", { scope: "row", textContent: one.question }),
      ...cells.map(([className, textContent]) => element("td", { className, textContent })));
  }));
  at("status-h").focus();
}

function busy(more) {
  state.busy += more;
  document.body.setAttribute("aria-busy", String(state.busy > 0));
}

function act(what) {  // one after the other
  busy(1);
  state.chain = state.chain.then(async () => {
    at("problem").hidden = true;
    try { await what(); } catch (error) {
      at("problem").textContent = error instanceof TypeError ? "the desk does not answer; start `rbrc label` again, nothing saved is lost" : error.message;
      at("problem").hidden = false;
    }
    busy(-1);
  });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
  if (!state.info || at("desk").hidden && at("status").hidden) return;
  const asking = !at("desk").hidden && state.queue.length > 0;
  const value = asking ? [...question().values, "?"][[...question().keys, "?"].indexOf(event.key)] : undefined;
  const others = { u: undo, g: grader, ArrowRight: () => move(1), ArrowLeft: () => move(-1), h: () => { at("help").open = !at("help").open; },
    j: () => document.querySelector(".judged")?.scrollIntoView({ block: "center" }) };
  const what = value !== undefined ? () => save(value) : event.key === "s" ? status : asking ? others[event.key] : event.key === "u" ? undo : undefined;
  if (!what) return;
  event.preventDefault();
  if (value !== undefined && state.busy) return;  // what is asked next was not shown yet
  if (value !== undefined && state.ended) { tellEnd(); return; }
  act(what);
}

async function begin() {
  state.info = await ask("begin");
  const { info } = state;
  state.who = info.annotator;
  at("title").textContent = info.title;
  at("lead").textContent = `${state.who ? `${state.who} · ` : ""}${info.rows} completions, ${info.pick} order` +
    (info.pick === "random" ? "" : ` with ${percent(info.share)} at random`) + `, seed ${info.seed}`;
  at("key-grader").hidden = !info.grader;
  at("who").hidden = state.who !== "";
  at("desk").hidden = state.who === "";
  if (!state.who) { at("name").focus(); return; }
  const options = [["completion", "all questions of one completion"], ...info.questions.map(one => [String(one.at), one.name]), ["adjudicate", "adjudicate: where annotators differ"]];
  at("what").replaceChildren(...options.map(([value, textContent]) => element("option", { value, textContent })));
  const open = info.questions.find(one => one.progress.done < one.progress.units) ?? info.questions[0];
  if (open) at("what").value = String(open.at);
  await load();
  await show();
}

document.addEventListener("keydown", pressed);
at("name-form").addEventListener("submit", event => {
  event.preventDefault();
  state.who = at("name").value.trim();
  act(begin);
});
at("what").addEventListener("change", () => {
  at("what").blur();
  tell("");
  act(async () => { await load(); await show(); });
});
for (const id of ["status-open", "status-close"]) at(id).addEventListener("click", () => act(status));
act(begin);
