// What is drawn of a stimulus: its picture, and over it boxes, masks and the patch grid.

const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b5a2b", "#6b4c9a"];
const colourOf = (object) => COLOURS[object % COLOURS.length];

/** Objects by pixel, from run lengths: background before a run, its length, its object from 1. */
function instanceMap(runs, width, height) {
  const map = new Uint8Array(width * height);
  let at = 0;
  const next = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = runs[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  for (let pixel = 0; at < runs.length; ) {
    pixel += next();
    const length = next();
    map.fill(next(), pixel, pixel + length);
    pixel += length;
  }
  return map;
}

/** A canvas that shows where objects are: their colours, see-through, with a firm outline. */
function maskLayer(runs, width, height) {
  const map = instanceMap(runs, width, height);
  const layer = Object.assign(document.createElement("canvas"), { width, height });
  const context = layer.getContext("2d");
  const data = context.createImageData(width, height);
  const rgb = COLOURS.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  for (let pixel = 0; pixel < map.length; pixel++) {
    const object = map[pixel];
    if (!object) continue;
    const x = pixel % width;
    const inside = x > 0 && x < width - 1 && map[pixel - 1] === object && map[pixel + 1] === object
      && map[pixel - width] === object && map[pixel + width] === object;
    data.data.set([...rgb[(object - 1) % rgb.length], inside ? 115 : 255], 4 * pixel);
  }
  context.putImageData(data, 0, 0);
  return layer;
}

/**
 * Draw a stimulus.
 * canvas: its width in pixels is set here, by the width it is to have on the page.
 * picture: {image, x, y, width, height} of a source; runs: of a source, or null for no masks.
 * boxes: flat x0 y0 x1 y1 of each object in pixels of the image, or null; patch: a side, or 0.
 */
function draw(canvas, shape, side, { picture, runs, boxes, patch }) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(side * ratio);
  canvas.height = Math.round((canvas.width * shape.height) / shape.width);
  const context = canvas.getContext("2d");
  const scale = canvas.width / shape.width;
  const { image, x, y, width, height } = picture;
  // Pixels of small images stay squares: what looks blurred here would not be in the data.
  context.imageSmoothingEnabled = width > 100 || width >= canvas.width;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, width, height, 0, 0, canvas.width, canvas.height);
  if (runs) {
    context.imageSmoothingEnabled = false;
    context.drawImage(maskLayer(runs, width, height), 0, 0, canvas.width, canvas.height);
  }
  if (patch) {
    const line = Math.max(1, Math.round(ratio));
    // Light beside dark, so that lines show on every ground.
    for (const [colour, shift] of [["rgba(255, 255, 255, .7)", line], ["rgba(0, 84, 130, .75)", 0]]) {
      context.fillStyle = colour;
      for (let at = patch; at < shape.width; at += patch) context.fillRect(Math.round(at * scale) + shift, 0, line, canvas.height);
      for (let at = patch; at < shape.height; at += patch) context.fillRect(0, Math.round(at * scale) + shift, canvas.width, line);
    }
  }
  for (let object = 0; boxes && 4 * object < boxes.length; object++) {
    const [x0, y0, x1, y1] = Array.from(boxes.slice(4 * object, 4 * object + 4), (at) => Number(at) * scale);
    const rim = Math.max(1.5, 1.5 * ratio);
    context.lineWidth = 2 * rim;
    context.strokeStyle = "rgba(255, 255, 255, .75)";
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    context.lineWidth = rim;
    context.strokeStyle = colourOf(object);
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}
