// The page: filters, a page of cards at a time, the scene of one stimulus, charts.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const source = about.served ? new Served(about) : new Embedded(about);
const boxColumn = about.columns.findIndex(({ name }) => name === "box");
const classColumns = about.columns.map((column, number) => ({ ...column, number })).filter(({ classes }) => classes.length);
const FEW = 300; // classes that a menu lists; of more, one is typed
const state = { query: { split: null, classes: {}, group: null }, page: 0, total: 0, turn: 0 };
let cards = []; // {row, button, canvas} of the page
let current = 0; // the card that the Tab key comes to
let pinned = null; // the row whose scene stays
let paintings = 0; // times that all was painted

const perPage = () => Number($("count").value);
const pageCount = () => Math.max(1, Math.ceil(state.total / perPage()));
const nameOf = ({ split, index }) => `${about.splits[split].name}, row ${whole(index)}`;
const onPhone = () => window.matchMedia("(max-width: 760px)").matches;
const same = (a, b) => a && b && a.split === b.split && a.index === b.index;

/** A value as people read it: a class or level by name, numbers short. */
function text(column, value) {
  if (column.named) return column.classes[Number(value)] ?? String(value);
  if (column.classes.length) return `${value} (${column.classes[Number(value)]})`;
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value);
}

/** The classes of a scene, in a line. */
function inWords(row) {
  return about.columns
    .map((column, number) => [column, row.values[number]])
    .filter(([column]) => column.named)
    .map(([column, values]) => `${column.name} ${Array.from(values, (value) => text(column, value)).join(", ")}`)
    .join("; ");
}

// ---- What is shown

function selected() {
  const classes = {};
  for (const column of classColumns) {
    const field = $(`class-${column.number}`);
    if (field.value === "") continue;
    const typed = column.classes.length > FEW;
    const number = typed ? column.classes.indexOf(field.value) : Number(field.value);
    classes[column.number] = number < 0 ? column.classes.length : number; // no class has that name
  }
  return { split: $("split").value === "" ? null : Number($("split").value), classes, group: null };
}

function field(label, id, options, typed) {
  const made = typed ? make("input", { id, type: "search", list: `${id}-list`, placeholder: "any" }) : make("select", { id });
  if (!typed) made.append(make("option", { value: "" }, "any"));
  const list = typed ? make("datalist", { id: `${id}-list` }) : made;
  options.forEach((option, value) => list.append(make("option", { value: typed ? option : value }, typed ? "" : option)));
  made.addEventListener("change", () => search(selected()));
  const whole = make("label", {}, label, made);
  if (typed) whole.append(list);
  return whole;
}

function setUp() {
  document.title = `${about.name}: gallery`;
  $("name").textContent = `${about.title}: ${about.name}`;
  const rows = about.splits.reduce((sum, split) => sum + split.rows, 0);
  const part = about.served || about.shown === rows ? `${whole(rows)} stimuli` : `${whole(about.shown)} of ${whole(rows)} stimuli`;
  $("summary").textContent = `${about.summary} ${part}, ${about.image.width}\u00a0×\u00a0${about.image.height}\u00a0pixels.`;
  $("foot").textContent = `Content digest ${about.digest}. Licence ${about.license}. Made with samediff-stimuli.`
    + (about.served ? "" : " Thumbnails are compressed; the dataset's own pixels are not.");
  $("fields").append(field("split", "split", about.splits.map(({ name }) => name), false));
  for (const column of classColumns) {
    const label = column.shape.length ? `${column.name} (of any)` : column.name;
    const shown = column.named ? column.classes : column.classes.map((name, level) => `${level} (${name})`);
    $("fields").append(field(label, `class-${column.number}`, column.classes.length > FEW ? column.classes : shown, column.classes.length > FEW));
  }
  $("fields").append($("clear"));
  $("with-boxes").hidden = !about.objects;
  $("with-masks").hidden = !about.masks;
  $("with-grid").hidden = $("with-patch").hidden = !about.patches.length;
  for (const size of about.patches) $("patch").append(make("option", { value: size }, `${size} px`));
  if (about.patch) $("patch").value = about.patch;
  $("overlays").hidden = !about.objects && !about.masks && !about.patches.length;
  $("group").hidden = about.group < 2;
  $("filters").open = !onPhone();
}

// ---- A page of stimuli

async function search(query, page = 0) {
  state.query = query;
  state.page = page;
  await show();
}

async function show(focus = null) {
  const turn = ++state.turn; // an answer that comes after the next question is not shown
  const start = state.page * perPage();
  $("cards").setAttribute("aria-busy", "true");
  let found;
  try {
    found = await source.find(state.query, start, perPage());
  } catch (error) {
    if (turn !== state.turn) return;
    $("status").textContent = `Not shown: ${error.message}`;
    $("cards").removeAttribute("aria-busy");
    return;
  }
  if (turn !== state.turn) return;
  state.total = found.total;
  cards = found.rows.map(card);
  $("cards").replaceChildren(...cards.map(({ item }) => item));
  $("cards").removeAttribute("aria-busy");
  current = 0;
  tell();
  if (cards.length) rove(focus === "last" ? cards.length - 1 : 0, focus !== null);
  await paint();
  if (turn === state.turn) painted();
}

/** Mark the page as painted anew. */
function painted() {
  document.documentElement.dataset.painted = String(++paintings);
}

function tell() {
  const { classes, split, group } = state.query;
  const named = Object.entries(classes).map(([number, value]) => `${about.columns[number].name} ${about.columns[number].classes[value] ?? "?"}`);
  if (split !== null) named.unshift(about.splits[split].name);
  if (group) named.unshift(`matched group ${whole(group.number)} of ${about.splits[group.split].name}`);
  $("active").textContent = named.length ? `(${named.join(", ")})` : "";
  $("clear").disabled = !named.length;
  const pages = pageCount();
  $("status").textContent = `${whole(state.total)} ${state.total === 1 ? "stimulus" : "stimuli"}${named.length ? " match" : ""}`
    + (state.total === 1 && named.length ? "es" : "") + `, page ${whole(state.page + 1)} of ${whole(pages)}`;
  $("pages").textContent = `of ${whole(pages)}`;
  $("page").value = state.page + 1;
  $("page").max = pages;
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page >= pages - 1;
}

function card(row) {
  const canvas = make("canvas", { "aria-hidden": "true", width: about.image.width, height: about.image.height });
  const first = make("span");
  const second = make("span", { class: "soft" });
  const label = about.columns.findIndex(({ name }) => name === about.label);
  first.textContent = label < 0 ? nameOf(row) : text(about.columns[label], row.values[label][0]);
  second.textContent = `${about.splits[row.split].name} ${row.index}`;
  const words = inWords(row);
  const button = make("button", { type: "button", class: "card", tabindex: "-1", "aria-pressed": String(Boolean(same(row, pinned))), "aria-label": `${nameOf(row)}${words && `: ${words}`}` }, canvas, first, second);
  button.addEventListener("mouseenter", () => pinned || scene(row));
  button.addEventListener("focus", () => pinned || scene(row));
  button.addEventListener("click", () => (same(row, pinned) ? letGo() : pin(row)));
  return { row, canvas, button, item: make("li", {}, button) };
}

/** Make a card the one that the Tab key comes to. */
function rove(number, focus) {
  cards[current]?.button.setAttribute("tabindex", "-1");
  current = number;
  cards[current].button.setAttribute("tabindex", "0");
  if (focus) cards[current].button.focus();
}

async function layers(row) {
  const [picture, runs] = await Promise.all([source.picture(row), about.masks && $("masks").checked ? source.runs(row) : null]);
  const boxes = about.objects && $("boxes").checked ? row.values[boxColumn] : null;
  return { picture, runs, boxes, patch: $("grid").checked ? Number($("patch").value) : 0 };
}

/** Draw a row, unless it is no longer wanted when its layers are there. */
async function paintOne(canvas, row, side, wanted = () => true) {
  try {
    const found = await layers(row);
    if (wanted()) draw(canvas, about.image, side, found);
  } catch (error) {
    if (wanted()) $("status").textContent = `Not drawn: ${error.message}`;
  }
}

/** Draw all cards of the page and the scene, with what is switched on. */
async function paint() {
  const side = cards.length ? cards[0].canvas.clientWidth || Number($("size").value) : 0;
  const large = $("scene-body").hidden ? [] : [paintLarge()];
  await Promise.all([...cards.map(({ canvas, row }) => paintOne(canvas, row, side)), ...large]);
}

async function repaint() {
  await paint();
  painted();
}

async function turnTo(page, focus = null) {
  const to = Math.min(Math.max(0, page), pageCount() - 1);
  if (to === state.page && focus === null) return tell();
  if (to === state.page) return undefined;
  state.page = to;
  return show(focus);
}

// ---- The scene of one stimulus

let shown = null; // the row whose scene is in sight
let asked = 0; // times that its picture was asked for

function pin(row) {
  pinned = row;
  scene(row);
  press();
  $("close").hidden = false;
  $("scene").classList.add("open");
  if (onPhone()) $("close").focus(); // the scene lies over the stimuli
}

function letGo() {
  pinned = null;
  press();
  $("close").hidden = true;
  $("scene").classList.remove("open");
}

function press() {
  for (const { row, button } of cards) button.setAttribute("aria-pressed", String(Boolean(same(row, pinned))));
}

function paintLarge() {
  const turn = ++asked; // what comes after a later one is not drawn
  return paintOne($("large"), shown, $("large").clientWidth || 320, () => turn === asked);
}

function scene(row) {
  if (same(row, shown)) return;
  shown = row;
  $("scene-hint").hidden = true;
  $("scene-body").hidden = false;
  $("scene-name").textContent = nameOf(row);
  $("large").setAttribute("aria-label", `Picture of ${nameOf(row)}: ${inWords(row)}`);
  $("scene-tables").replaceChildren(...sceneTables(row));
  paintLarge();
}

/** What is known of each object, a column for each; then of the stimulus. */
function sceneTables(row) {
  const objects = [];
  const whole = [];
  about.columns.forEach((column, number) => {
    const values = Array.from(row.values[number], (value) => text(column, value));
    if (about.objects > 1 && column.shape[0] === about.objects) {
      const each = values.length / about.objects;
      const cells = Array.from({ length: about.objects }, (_, i) => values.slice(i * each, (i + 1) * each).join(", "));
      objects.push([column.name, ...cells]);
    } else {
      whole.push([column.name, values.join(", ")]);
    }
  });
  const tables = [tableOf("Stimulus", [], whole)];
  if (objects.length) {
    const heads = Array.from({ length: about.objects }, (_, i) => {
      const dot = make("span", { class: "dot" });
      dot.style.background = colourOf(i);
      const head = make("span", {}, dot, String(i + 1));
      return head;
    });
    tables.unshift(make("div", { class: "scroll" }, tableOf("Objects", ["column", ...heads], objects)));
  }
  return tables;
}

// ---- The other parts of the page

function balance() {
  const none = !about.balance.length;
  $("balance-none").hidden = !none;
  $("balance-of").hidden = none;
  about.balance.forEach(({ column }, number) => $("column").append(make("option", { value: number }, column)));
  const bars = () => {
    const { classes, counts } = about.balance[Number($("column").value)];
    const shares = counts.flatMap((row) => row.map((n) => n / (row.reduce((a, b) => a + b, 0) || 1)));
    const largest = Math.max(...shares);
    $("bars").replaceChildren(...counts.map((row, split) => barChart(about.splits[split].name, classes, row, largest)));
  };
  if (none) return;
  $("column").addEventListener("change", bars);
  bars();
}

function training() {
  $("training").hidden = $("to-training").hidden = !about.training.length;
  for (const run of about.training) {
    const parts = run.series.length ? [curveChart(run)] : [];
    $("curves").append(make("h3", {}, run.name), make("div", { class: "run" }, ...parts, reachedTable(run)));
  }
}

function glossary() {
  const splits = about.splits.map(({ name, rows, about: words }) => [name, whole(rows), words]);
  const columns = about.columns.map(({ name, shape, about: words, classes }) =>
    [name, shape.join(" × ") || "1", words, classes.length > 40 ? `${whole(classes.length)} of them` : classes.join(", ")]);
  $("glossary").append(
    make("div", { class: "scroll" }, tableOf("Splits", ["split", "stimuli", "what is in it"], splits)),
    make("div", { class: "scroll" }, tableOf("Columns", ["column", "values", "meaning", "classes or levels"], columns)));
}

function listen() {
  for (const id of ["boxes", "masks", "grid", "patch"]) $(id).addEventListener("change", repaint);
  $("size").addEventListener("change", () => {
    document.documentElement.style.setProperty("--card", `${$("size").value}px`);
    repaint();
  });
  $("count").addEventListener("change", () => search(state.query));
  $("clear").addEventListener("click", () => { reset(); search(selected()); });
  $("previous").addEventListener("click", () => turnTo(state.page - 1));
  $("next").addEventListener("click", () => turnTo(state.page + 1));
  $("page").addEventListener("change", () => turnTo(Math.floor(Number($("page").value) || 1) - 1));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("close").addEventListener("click", () => { letGo(); if (cards.length) rove(current, true); });
  $("group").addEventListener("click", () => {
    reset();
    search({ split: null, classes: {}, group: { split: shown.split, number: Math.floor(shown.index / about.group) } });
  });
  $("cards").addEventListener("keydown", move);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && pinned) { letGo(); if (cards.length) rove(current, true); } });
  let waiting;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(repaint, 150); });
}

function reset() {
  $("split").value = "";
  for (const { number } of classColumns) $(`class-${number}`).value = "";
}

/** Arrow keys among cards, Page Up and Page Down among pages. */
function move(event) {
  if (!cards.length || event.altKey || event.ctrlKey || event.metaKey) return;
  const focused = cards.findIndex(({ button }) => button === event.target.closest("button"));
  if (focused < 0) return;
  const top = cards[0].item.offsetTop;
  const next = cards.findIndex(({ item }) => item.offsetTop > top);
  const line = next < 0 ? cards.length : next;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -line, ArrowDown: line, Home: -focused, End: cards.length - 1 - focused };
  if (event.key === "PageDown" || event.key === "PageUp") {
    event.preventDefault();
    turnTo(state.page + (event.key === "PageDown" ? 1 : -1), event.key === "PageDown" ? "first" : "last");
  } else if (event.key in steps) {
    event.preventDefault();
    const to = focused + steps[event.key];
    if (to >= 0 && to < cards.length) rove(to, true);
  }
}

async function start() {
  setUp();
  listen();
  await source.load();
  await show();
  performance.mark("first-cards");
  balance();
  training();
  glossary();
}

start().catch((error) => { $("status").textContent = `The page cannot be shown: ${error.message}`; });
