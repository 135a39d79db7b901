// Elements and charts. All text goes in as text: nothing from a dataset becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; strings are text. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const whole = (n) => n.toLocaleString("en");

/** Text whose lines may also break after an underscore: class names are long. */
function breakable(text) {
  if (typeof text !== "string") return [text];
  return text.split(/(?<=_)/).flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
}

/** A table: heads, and rows whose first cell is the row's head; cells are text or elements. */
function tableOf(caption, heads, rows) {
  const table = make("table", {}, make("caption", {}, caption));
  if (heads.length) table.append(make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))));
  const body = make("tbody");
  for (const [head, ...cells] of rows) {
    body.append(make("tr", {}, make("th", { scope: "row" }, ...breakable(head)), ...cells.map((cell) => make("td", {}, ...breakable(cell)))));
  }
  table.append(body);
  return table;
}

/** Bars of one split: a line for each class, all splits to one scale of shares. */
function barChart(split, classes, counts, largest) {
  const [line, left, right] = [18, 112, 58];
  const width = 320;
  const room = width - left - right;
  const total = counts.reduce((a, b) => a + b, 0) || 1;
  const said = classes.map((name, i) => `${name} ${whole(counts[i])}`).join(", ");
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${classes.length * line}`, role: "img", "aria-label": `${split}: ${said}` });
  classes.forEach((name, i) => {
    const y = i * line;
    const short = name.length > 17 ? `${name.slice(0, 16)}…` : name;
    const full = drawn("title");
    full.textContent = `${name}: ${whole(counts[i])}`;
    const head = drawn("text", { x: left - 6, y: y + 13, "text-anchor": "end" });
    head.textContent = short;
    const value = drawn("text", { x: width, y: y + 13, "text-anchor": "end", class: "soft" });
    value.textContent = whole(counts[i]);
    const long = largest ? (room * counts[i]) / total / largest : 0;
    chart.append(drawn("g", {}, full, head,
      drawn("rect", { class: "track", x: left, y: y + 3, width: room, height: line - 6, rx: 2 }),
      drawn("rect", { class: "fill", x: left, y: y + 3, width: long, height: line - 6, rx: 2 }), value));
  });
  const caption = make("figcaption", {}, make("strong", {}, split), `, ${whole(total)}`);
  return make("figure", {}, caption, chart);
}

/** Round steps for an axis from low to high. */
function ticksOf(low, high, most) {
  const raw = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) ticks.push(Number(at.toPrecision(12)));
  return ticks;
}

/** Learning curves of a run. */
function curveChart({ name, x: xName, y: yName, series }) {
  const [width, height, left, below] = [440, 250, 46, 34];
  const points = series.flatMap((one) => one.points);
  const byLog = yName === "loss";
  const put = (y) => (byLog ? Math.log10(Math.max(y, 1e-6)) : y);
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => put(y));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = byLog ? [Math.min(...ys), Math.max(...ys)] : [Math.min(0.4, ...ys), 1];
  const across = (x) => left + ((x - x0) / (x1 - x0 || 1)) * (width - left - 10);
  const up = (y) => height - below - ((y - y0) / (y1 - y0 || 1)) * (height - below - 12);
  const ends = series.map((one) => `${one.name} ${Number(one.points.at(-1)[1].toPrecision(3))}`).join(", ");
  const label = `${yName} by ${xName} of ${name}; at the end ${ends}`;
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const word = (text, attributes) => {
    const made = drawn("text", { class: "soft", ...attributes });
    made.textContent = text;
    chart.append(made);
  };
  for (const tick of ticksOf(y0, y1, 5)) {
    chart.append(drawn("line", { class: "axis", x1: left, x2: width - 10, y1: up(tick), y2: up(tick) }));
    const shown = byLog ? 10 ** tick : tick;
    word(String(Number(shown.toPrecision(2))), { x: left - 6, y: up(tick) + 4, "text-anchor": "end" });
  }
  for (const tick of ticksOf(x0, x1, 6)) {
    if (Number.isInteger(tick)) word(whole(tick), { x: across(tick), y: height - below + 16, "text-anchor": "middle" });
  }
  word(xName, { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" });
  const keys = make("ul", { class: "key" });
  series.forEach((one, number) => {
    const path = one.points.map(([x, y]) => `${across(x).toFixed(1)},${up(put(y)).toFixed(1)}`).join(" ");
    const colour = [COLOURS[1], COLOURS[0], ...COLOURS.slice(2)][number % COLOURS.length];
    chart.append(drawn("polyline", { class: "curve", stroke: colour, points: path }));
    for (const [x, y] of one.points.length < 40 ? one.points : []) chart.append(drawn("circle", { cx: across(x), cy: up(put(y)), r: 2.5, fill: colour }));
    const dot = make("span", { class: "dot" });
    dot.style.background = colour;
    keys.append(make("li", {}, dot, one.name));
  });
  return make("figure", {}, make("figcaption", {}, make("strong", {}, yName), ` by ${xName}`), chart, keys);
}

/** What a run reached on each split. */
function reachedTable({ measure, reached }) {
  const number = (value) => (value === null ? "" : value.toFixed(3));
  const rows = reached.map(({ split, n, value, low, high }) =>
    [split, whole(n), number(value), low === null ? "" : `${number(low)} to ${number(high)}`]);
  return make("div", { class: "scroll" }, tableOf("What it reached", ["split", "images", measure, "95 % interval"], rows));
}
