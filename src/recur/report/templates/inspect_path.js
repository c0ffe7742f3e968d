// The path of a layer's state in two principal components.
(() => {
  const { model, state, set, onChange, name, percent, written } = inspected;
  const canvas = document.getElementById("trail"), note = document.getElementById("trail-note");
  if (!canvas) return;
  const TRAIL = 30, MARGIN = 16;

  // Both components in the same measure, so that distances are true.
  function placed(width, height) {
    const path = model.layers[state.layer].path;
    let low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    for (let n = 0; n < model.count; n++) {
      for (const c of [0, 1]) {
        const value = path[2 * n + c];
        if (value < low[c]) low[c] = value;
        if (value > high[c]) high[c] = value;
      }
    }
    const reach = Math.max(high[0] - low[0], high[1] - low[1]) || 1, size = Math.min(width, height) - 2 * MARGIN;
    return (n) => [
      width / 2 + ((path[2 * n] - (low[0] + high[0]) / 2) / reach) * size,
      height / 2 - ((path[2 * n + 1] - (low[1] + high[1]) / 2) / reach) * size,
    ];
  }

  const trail = sheet(canvas, (width) => width, (context, width, height) => {
    if (!model.layers[state.layer].path) return;
    const place = placed(width, height), paint = colour.dots();
    const size = model.count > 1500 ? 1.8 : 3;
    context.strokeStyle = colour.variable("--line");
    context.lineWidth = 1;
    context.strokeRect(0.5, 0.5, width - 1, height - 1);
    for (let n = 0; n < model.count; n++) {
      const [x, y] = place(n);
      context.fillStyle = paint(n);
      context.beginPath();
      context.arc(x, y, size, 0, 2 * Math.PI);
      context.fill();
    }
    context.strokeStyle = colour.variable("--ink");
    context.lineWidth = 1.6;
    for (let n = Math.max(1, state.at - TRAIL); n <= state.at; n++) {
      context.globalAlpha = 0.12 + 0.88 * (1 - (state.at - n) / TRAIL);
      context.beginPath();
      context.moveTo(...place(n - 1));
      context.lineTo(...place(n));
      context.stroke();
    }
    context.globalAlpha = 1;
    const [x, y] = place(state.at);
    context.fillStyle = colour.variable("--ink");
    context.beginPath();
    context.arc(x, y, 5, 0, 2 * Math.PI);
    context.fill();
    context.font = "600 14px " + getComputedStyle(document.body).fontFamily;
    context.textBaseline = "middle";
    context.textAlign = x > width - 90 ? "right" : "left";
    context.lineWidth = 4;
    context.strokeStyle = colour.variable("--paper");
    context.strokeText(name(state.at), x + (x > width - 90 ? -10 : 10), y);
    context.fillText(name(state.at), x + (x > width - 90 ? -10 : 10), y);
  });

  function tell() {
    const layer = model.layers[state.layer], [first, second] = layer.explained;
    if (!layer.path) {
      note.textContent = `There is no path of ${layer.name}.`;
      return;
    }
    if (model.count < 2) {
      note.textContent = `With one ${model.unit} there is no path of ${layer.name} yet.`;
      return;
    }
    const both = first === undefined || second === undefined || !(first + second > 0) ? "" : ` They explain ${percent(first)} and ${percent(second)} of its movement${first + second < 0.5 ? ", less than half: much of what happens cannot be seen here" : ""}.`;
    const [x, y] = [layer.path[2 * state.at], layer.path[2 * state.at + 1]], here = Number.isNaN(x + y) ? "" : ` Here: ${written(x)} and ${written(y)}.`;
    note.textContent = `The state of ${layer.name} at every ${model.unit}, in its two principal components, coloured as above; the line leads to the current one from the ${TRAIL} before.${both}${here}`;
  }

  inspected.showPath = () => {
    inspected.keys(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect(), place = placed(box.width, box.height);
      let best = state.at, distance = Infinity;
      for (let n = 0; n < model.count; n++) {
        const [x, y] = place(n), apart = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
        if (apart < distance) { distance = apart; best = n; }
      }
      set({ at: best });
    });
    onChange((changed) => { if (changed.has("layer") || changed.has("at")) tell(); trail.redraw(); });
    tell();
    inspected.sheets.push(trail);
  };
})();
