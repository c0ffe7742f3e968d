// A series instead of a text: what was read, what had been predicted of it, and the chosen unit below.
(() => {
  const { model, state, set, onChange, row, track, fullest } = inspected;
  const canvas = document.getElementById("series");
  if (!canvas) return;
  const GUTTER = 46, CHANNEL = 96, GAP = 14, STRIP = 22, FOOT = 20;
  const channels = model.series ? model.series.channels.length : 0;

  // What is told of the steps to come stands after the last step, where that is in view.
  const ahead = model.answers ? model.answers.ahead : null;
  inspected.tail = () => (ahead && state.start + state.span === model.count ? ahead.median[0].length : 0);
  const told = (c) => (inspected.tail() ? ahead.targets.indexOf(model.series.channels[c]) : -1);

  function extent(c, ...series) {
    let low = Infinity, high = -Infinity;
    const reach = (value) => { if (value < low) low = value; if (value > high) high = value; };
    for (const one of series) for (let n = state.start; one && n < state.start + state.span; n++) reach(one[n]);
    const target = told(c);
    if (target >= 0) for (const part of ["median", "low", "high", "came"]) ahead[part][target].forEach(reach);
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

  // The forecast of a target with its interval, and what came, from the last step that was read on.
  function forecast(context, target, last, height, step) {
    const median = ahead.median[target], place = (n) => GUTTER + (state.span + n + 0.5) * step;
    const path = (values, isOn) => values.forEach((value, n) => {
      if (!Number.isNaN(value)) context[n || isOn ? "lineTo" : "moveTo"](place(n), height(value));
    });
    context.beginPath();
    path(ahead.low[target], false);
    for (let n = median.length - 1; n >= 0; n--) context.lineTo(place(n), height(ahead.high[target][n]));
    context.fillStyle = colour.variable("--own");
    context.globalAlpha = 0.18;
    context.fill();
    context.globalAlpha = 0.85;
    context.lineWidth = 2.4;
    context.strokeStyle = colour.variable("--own");
    context.beginPath();
    path(median, false);
    context.stroke();
    context.globalAlpha = 1;
    context.lineWidth = 1.3;
    context.strokeStyle = colour.variable("--ink");
    context.beginPath();
    if (!Number.isNaN(last)) context.moveTo(place(-1), height(last));
    path(ahead.came[target], !Number.isNaN(last));
    context.stroke();
  }

  const drawn = sheet(canvas, () => channels * (CHANNEL + GAP) + STRIP + FOOT, (context, width) => {
    const { values, predictions } = model.series, step = (width - GUTTER) / (state.span + inspected.tail());
    for (let c = 0; c < channels; c++) {
      const top = c * (CHANNEL + GAP), [low, high] = extent(c, values[c], predictions[c]);
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
      if (told(c) >= 0) forecast(context, told(c), values[c] ? values[c][model.count - 1] : NaN, height, step);
      context.fillStyle = colour.variable("--ink");
      context.textAlign = "left";
      context.textBaseline = "top";
      const parts = [model.series.channels[c]];
      if (values[c] && !Number.isNaN(values[c][state.at])) parts.push(inspected.written(values[c][state.at]));
      if (predictions[c] && !Number.isNaN(predictions[c][state.at])) parts.push(`${values[c] && !Number.isNaN(values[c][state.at]) ? "predicted " : ""}${inspected.written(predictions[c][state.at])}`);
      context.fillText(parts.join("  "), GUTTER + 6, top + 3);
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
    context.fillText(inspected.name(state.start + state.span - 1), GUTTER + state.span * step, below + STRIP + 4);
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
      return state.start + Math.max(0, Math.min(state.span - 1, Math.floor(((event.clientX - box.left - GUTTER) * (state.span + inspected.tail())) / (box.width - GUTTER))));
    };
    canvas.addEventListener("pointerdown", (event) => set({ at: pointed(event) }));
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) set({ at: pointed(event) }); });
    onChange(drawn.redraw);
    inspected.sheets.push(drawn);
  };
})();
