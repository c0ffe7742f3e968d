// The colours of the style sheet, for canvases; and which of them a value gets.
const colour = (() => {
  const { model, state, track, row, fullest } = inspected;
  const SIGNED = 13, LEVELS = model.levels;
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  let tables = {};

  // 256 colours that run through those given, as little-endian pixels.
  function table(stops) {
    const pixels = new Uint32Array(256), known = stops.map(channels);
    for (let i = 0; i < 256; i++) {
      const place = (i / 255) * (known.length - 1), low = Math.min(known.length - 2, Math.floor(place)), part = place - low;
      const [r, g, b] = [0, 1, 2].map((c) => Math.round(known[low][c] * (1 - part) + known[low + 1][c] * part));
      pixels[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return pixels;
  }
  const css = (pixel) => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
  const scale = (prefix, count) => Array.from({ length: count }, (_, i) => variable(`--${prefix}${i}`));

  function refresh() {
    const other = variable("--other"), signed = scale("d", SIGNED), gates = scale("g", LEVELS), losses = scale("l", LEVELS);
    tables = {
      signed: table(signed), gates: table(gates), losses: table(losses),
      // For dots and lines: what is in the middle must not be the colour of the paper.
      signedDots: table([signed[0], signed[2], other, signed[10], signed[12]]),
      gateDots: table([other, gates[5], gates[9]]),
      lossDots: table([other, losses[5], losses[9]]),
    };
  }

  // The byte of an activation as a place in a table; `most` is the byte that comes last.
  const within = (place) => Math.max(0, Math.min(255, Math.round(place)));
  const signedPlace = (byte, most = 127) => within((byte / most + 1) * 127.5);
  const gatePlace = (byte, most = 127) => within((byte / most) * 255);

  // The last colour is that of the text's own scale.
  const lossPlace = (loss) => (Number.isNaN(loss) ? 0 : within((255 * loss) / model.top));

  // A function from places in the text to a colour, by what the reader chose.
  function dots() {
    const bytes = state.by === "unit" ? row(state.layer, state.part, state.unit) : null;
    if (bytes) {
      const signed = track(state.layer, state.part).is_signed, most = fullest(state.layer, state.part, state.unit);
      return signed ? (at) => css(tables.signedDots[signedPlace(bytes[at], most)]) : (at) => css(tables.gateDots[gatePlace(bytes[at], most)]);
    }
    if (state.by === "unit") return () => variable("--other");
    return (at) => css(tables.lossDots[lossPlace(model.losses[at])]);
  }

  // The class of the style sheet for an activation's byte.
  const level = (byte, signed, most = 127) =>
    signed ? "d" + Math.round((signedPlace(byte, most) / 255) * (SIGNED - 1)) : "g" + Math.floor((gatePlace(byte, most) * LEVELS) / 256);

  refresh();
  return { variable, refresh, tables: () => tables, signedPlace, gatePlace, dots, level, css };
})();

// A canvas as sharp as the screen, drawn anew at most once a frame, and only when something can be seen of it.
function sheet(canvas, heightOf, draw) {
  const context = canvas.getContext("2d");
  let isWaiting = false;
  function paint() {
    isWaiting = false;
    const width = canvas.clientWidth;
    if (!width) return;
    const height = heightOf(width), sharpness = devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * sharpness);
    canvas.height = Math.round(height * sharpness);
    context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
    context.font = "12px " + getComputedStyle(document.body).fontFamily;
    draw(context, width, height, sharpness);
  }
  const redraw = () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(paint);
  };
  // Only once there is something to draw.
  const watch = () => new ResizeObserver(redraw).observe(canvas.parentElement);
  return { redraw, paint, watch };
}
