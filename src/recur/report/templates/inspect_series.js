// A series instead of a text: what was read, what had been predicted of it, and the chosen unit below.
(() => {
  const { model, state, set, onChange, row, track, fullest } = inspected;
  const canvas = document.getElementById("series");
  if (!canvas) return;
  const GUTTER = 46, CHANNEL = 96, GAP = 14, STRIP = 22, FOOT = 20;
  const channels = model.series ? model.series.channels.length : 0;

  function extent(...series) {
    let low = Infinity, high = -Infinity;
    for (const one of series) {
      for (let n = state.start; one && n < state.start + state.span; n++) {
        if (one[n] < low) low = one[n];
        if (one[n] > high) high = one[n];
      }
    }
    return low < high ? [low, high] : low === high ? [low - 1, high + 1] : [0, 1];
  }

  function line(context, values, height, step) {
    let isDrawn = false;
    context.beginPath();
    for (let n = 0; n < state.span; n++) {
      const value = values[state.start + n];
      if (Number.isNaN(value)) { isDrawn = false; continue; }
      const x = GUTTER + (n + 0.5) * step;
      if (isDrawn) context.lineTo(x, height(value)); else context.moveTo(x, height(value));
      isDrawn = true;
    }
    context.stroke();
  }

  const drawn = sheet(canvas, () => channels * (CHANNEL + GAP) + STRIP + FOOT, (context, width) => {
    const { values, predictions } = model.series, step = (width - GUTTER) / state.span;
    for (let c = 0; c < channels; c++) {
      const top = c * (CHANNEL + GAP), [low, high] = extent(values[c], predictions[c]);
      const height = (value) => top + CHANNEL - 4 - ((value - low) / (high - low)) * (CHANNEL - 22);
      context.fillStyle = colour.variable("--sheet");
      context.fillRect(GUTTER, top, width - GUTTER, CHANNEL);
      context.fillStyle = colour.variable("--muted");
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(inspected.written(high), GUTTER - 7, height(high));
      context.fillText(inspected.written(low), GUTTER - 7, height(low) - 2);
      context.lineWidth = 2.4;
      context.strokeStyle = colour.variable("--own");
      context.globalAlpha = 0.75;
      if (predictions[c]) line(context, predictions[c], height, step);
      context.globalAlpha = 1;
      context.lineWidth = 1.3;
      context.strokeStyle = colour.variable("--ink");
      if (values[c]) line(context, values[c], height, step);
      context.fillStyle = colour.variable("--ink");
      context.textAlign = "left";
      context.textBaseline = "top";
      const told = [model.series.channels[c]];
      if (values[c] && !Number.isNaN(values[c][state.at])) told.push(inspected.written(values[c][state.at]));
      if (predictions[c] && !Number.isNaN(predictions[c][state.at])) told.push(`predicted ${inspected.written(predictions[c][state.at])}`);
      context.fillText(told.join("  "), GUTTER + 6, top + 3);
    }
    const below = channels * (CHANNEL + GAP), paint = strip();
    for (let n = 0; n < state.span; n++) {
      context.fillStyle = paint(state.start + n);
      context.fillRect(GUTTER + n * step, below, step + 0.6, STRIP);
    }
    context.fillStyle = colour.variable("--muted");
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText(inspected.name(state.start), GUTTER, below + STRIP + 4);
    context.textAlign = "right";
    context.fillText(inspected.name(state.start + state.span - 1), width, below + STRIP + 4);
    context.strokeStyle = colour.variable("--ink");
    context.lineWidth = 1;
    context.strokeRect(Math.round(GUTTER + (state.at - state.start) * step) - 0.5, -1, Math.max(2, Math.round(step)) + 1, below + STRIP + 2);
  });

  // The colour below each step: that of the unit, or of the error.
  function strip() {
    const bytes = state.by === "unit" ? row(state.layer, state.part, state.unit) : null;
    if (!bytes) return colour.dots();
    const { signed, gates } = colour.tables(), most = fullest(state.layer, state.part, state.unit);
    return track(state.layer, state.part).is_signed
      ? (n) => colour.css(signed[colour.signedPlace(bytes[n], most)])
      : (n) => colour.css(gates[colour.gatePlace(bytes[n], most)]);
  }

  inspected.showSeries = () => {
    inspected.keys(canvas);
    const pointed = (event) => {
      const box = canvas.getBoundingClientRect();
      return state.start + Math.max(0, Math.min(state.span - 1, Math.floor(((event.clientX - box.left - GUTTER) * state.span) / (box.width - GUTTER))));
    };
    canvas.addEventListener("pointerdown", (event) => set({ at: pointed(event) }));
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) set({ at: pointed(event) }); });
    onChange(drawn.redraw);
    inspected.sheets.push(drawn);
  };
})();
