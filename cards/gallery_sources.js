// Where stimuli come from: packed in the page, or fetched from `samediff-stimuli serve`.
//
// A source answers three questions: `find(query, start, count)` which stimuli match,
// `picture(row)` what one looks like, `runs(row)` where its objects are. A query is
// {split, classes: {column number: class number}, group: {split, number}}, each part or null.
// A row is {split, index, place, values}: numbers of split and row, values flat by column number.

const ARRAYS = {
  u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array,
  i4: Int32Array, i8: BigInt64Array, f8: Float64Array,
};

/** A map that forgets what was asked for longest ago. */
class Recent extends Map {
  constructor(size) { super(); this.most = size; }
  /** The value of a key, made if it is not there. */
  need(key, make) {
    const value = this.has(key) ? this.get(key) : make();
    this.delete(key);
    this.set(key, value);
    if (this.size > this.most) this.delete(this.keys().next().value);
    return value;
  }
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** The text of a data block; blocks after this script may still be on their way. */
async function block(id) {
  for (;;) {
    const found = document.getElementById(id);
    const whole = found && (found.nextElementSibling || document.readyState !== "loading");
    if (whole) return found.textContent;
    if (document.readyState !== "loading") throw new Error(`the page lacks ${id}`);
    await new Promise((done) => setTimeout(done, 15));
  }
}

/** Stimuli whose columns, thumbnails and masks are blocks of this page. */
class Embedded {
  constructor(about) {
    this.about = about;
    this.sheets = new Recent(40);
    this.found = new Recent(4);
  }

  async load() {
    const data = await inflated(bytesOf(await block("block-columns")));
    const { packed, shown } = this.about;
    this.columns = this.about.columns.map(({ shape }, number) => {
      const { kind, offset } = packed[number];
      const each = shape.reduce((a, b) => a * b, 1);
      return { each, values: new ARRAYS[kind](data, offset, each * shown) };
    });
    this.index = this.columns[this.about.columns.findIndex(({ name }) => name === "index")].values;
    this.stops = [];
    for (const { shown: rows } of this.about.splits) this.stops.push((this.stops.at(-1) || 0) + rows);
  }

  async find(query, start, count) {
    const places = this.found.need(JSON.stringify(query), () => this.places(query));
    const some = Array.from(places.subarray(start, start + count), (place) => this.row(place));
    return { total: places.length, rows: some };
  }

  /** Numbers of all stimuli that match. */
  places({ split, classes, group }) {
    const wanted = Object.entries(classes).map(([number, value]) => [this.columns[number], value]);
    const only = group ? group.split : split;
    const from = only === null ? 0 : this.stops[only - 1] || 0;
    const to = only === null ? this.about.shown : this.stops[only];
    const found = new Uint32Array(to - from);
    let n = 0;
    for (let place = from; place < to; place++) {
      if (group && Math.floor(Number(this.index[place]) / this.about.group) !== group.number) continue;
      const has = ([{ each, values }, value]) => {
        for (let i = place * each; i < (place + 1) * each; i++) if (values[i] === value) return true;
        return false;
      };
      if (wanted.every(has)) found[n++] = place;
    }
    return found.subarray(0, n);
  }

  row(place) {
    const values = this.columns.map(({ each, values: all }) => all.subarray(place * each, (place + 1) * each));
    const split = this.stops.findIndex((stop) => place < stop);
    return { split, index: Number(this.index[place]), place, values };
  }

  async picture({ place }) {
    const { width, height, across, each, gap } = this.about.thumbs;
    const sheet = Math.floor(place / each);
    const image = await this.sheets.need(sheet, async () => {
      const file = new Blob([bytesOf(await block(`block-sheet-${sheet}`))], { type: "image/webp" });
      return createImageBitmap(file);
    });
    const number = place % each;
    return { image, x: (number % across) * (width + gap), y: Math.floor(number / across) * (height + gap), width, height };
  }

  async runs({ place }) {
    this.masks ??= block("block-masks").then(bytesOf).then(inflated);
    const data = await this.masks;
    const n = this.about.shown + 1;
    const offsets = new Uint32Array(data, 0, n);
    return new Uint8Array(data, 4 * n).subarray(offsets[place], offsets[place + 1]);
  }
}

/** Stimuli that a server on this machine hands out, whatever their number. */
class Served {
  constructor(about) {
    this.about = about;
    this.pictures = new Recent(600);
    this.masks = new Recent(600);
  }

  async load() {}

  async ask(path) {
    const answer = await fetch(path, { cache: "no-store" });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async find({ split, classes, group }, start, count) {
    const asked = new URLSearchParams({ start, count });
    if (split !== null) asked.set("split", split);
    if (group) { asked.set("split", group.split); asked.set("group", group.number); }
    for (const [number, value] of Object.entries(classes)) asked.append("class", `${number}.${value}`);
    const { total, rows } = await (await this.ask(`rows?${asked}`)).json();
    return { total, rows: rows.map(([of, index, values]) => ({ split: of, index, values })) };
  }

  picture({ split, index }) {
    return this.pictures.need(`${split}/${index}`, async () => {
      const image = await createImageBitmap(await (await this.ask(`image/${split}/${index}`)).blob());
      return { image, x: 0, y: 0, width: image.width, height: image.height };
    });
  }

  runs({ split, index }) {
    return this.masks.need(`${split}/${index}`, async () =>
      new Uint8Array(await (await this.ask(`mask/${split}/${index}`)).arrayBuffer()));
  }
}
