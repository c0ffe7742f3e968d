// States over time: all units of a layer as a heat map, and all parts of the chosen unit as curves.
(() => {
  const { model, state, set, onChange, track, row, told, fullest, plain } = inspected;
  const map = document.getElementById("map"), parts = document.getElementById("parts");
  if (!map) return;
  const GUTTER = 46, FOOT = 20, PART = 46, GAP = 8;
  const orders = new Map();

  // Units from top to bottom: those of the layer's first part that are on this page.
  function order() {
    const shown = model.layers[state.layer].parts[0];
    const found = shown && track(state.layer, shown.name);
    if (!found) return [];
    const key = [state.layer, state.order, state.order === "property" ? state.property : ""].join();
    if (!orders.has(key)) {
      const { units } = found;
      orders.set(key, state.order === "number" ? units : state.order === "similar" ? bySimilarity(units) : byProperty(units, shown.name));
    }
    return orders.get(key);
  }
  function bySimilarity(units) {
    const known = new Set(units);
    return model.layers[state.layer].similar.filter((unit) => known.has(unit));
  }
  function byProperty(units, part) {
    const labels = state.property === null ? null : model.properties[state.property].labels;
    if (!labels) return units;
    const strength = new Map(units.map((unit) => [unit, Math.abs(correlation(row(state.layer, part, unit), labels))]));
    return [...units].sort((a, b) => strength.get(b) - strength.get(a));
  }
  function correlation(a, b) {
    let n = 0, sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (let i = 0; i < a.length; i++) {
      if (Number.isNaN(b[i])) continue;
      n++; sa += a[i]; sb += b[i]; saa += a[i] * a[i]; sbb += b[i] * b[i]; sab += a[i] * b[i];
    }
    const spread = (n * saa - sa * sa) * (n * sbb - sb * sb);
    return spread > 0 ? (n * sab - sa * sb) / Math.sqrt(spread) : 0;
  }

  const across = (width) => (width - GUTTER) / state.span;
  const rowHeight = (count) => (count <= 24 ? 14 : count <= 64 ? 7 : Math.max(0.5, Math.min(5, 512 / count)));

  // The pixels of the stretch in view, a column for each place or, where there are more places than that, for several.
  function pixels(units, columns) {
    const found = track(state.layer, model.layers[state.layer].parts[0].name);
    const image = new ImageData(columns, units.length), out = new Uint32Array(image.data.buffer);
    const table = found.is_signed ? colour.tables().signed : colour.tables().gates;
    const place = found.is_signed ? colour.signedPlace : colour.gatePlace;
    units.forEach((unit, y) => {
      const bytes = row(state.layer, found.part, unit);
      for (let x = 0; x < columns; x++) {
        const from = state.start + Math.floor((x * state.span) / columns);
        const to = Math.max(from + 1, state.start + Math.floor(((x + 1) * state.span) / columns));
        let sum = 0;
        for (let i = from; i < to; i++) sum += bytes[i];
        out[y * columns + x] = table[place(Math.round(sum / (to - from)))];
      }
    });
    return image;
  }

  const offscreen = document.createElement("canvas");
  let drawn = "";
  const mapSheet = sheet(map, () => Math.max(1, order().length) * rowHeight(order().length) + FOOT, (context, width, height, sharpness) => {
    const units = order(), plot = width - GUTTER, step = across(width), tall = rowHeight(units.length), ink = colour.variable("--ink");
    if (!units.length) return;
    const columns = Math.min(state.span, Math.round(plot * sharpness));
    const key = [state.layer, state.start, state.span, columns, state.order, state.property, colour.variable("--paper")].join();
    if (key !== drawn) {
      offscreen.width = columns;
      offscreen.height = units.length;
      offscreen.getContext("2d").putImageData(pixels(units, columns), 0, 0);
      drawn = key;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(offscreen, GUTTER, 0, plot, tall * units.length);
    cursor(context, width, tall * units.length);
    const at = units.indexOf(state.unit);
    if (at >= 0) {
      const y = at * tall;
      context.strokeStyle = ink;
      context.strokeRect(GUTTER - 0.5, Math.round(y) - 0.5, plot + 0.5, Math.max(3, Math.round(tall)) + 1);
      context.fillStyle = ink;
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(String(state.unit), GUTTER - 7, Math.min(tall * units.length - 6, Math.max(7, y + tall / 2)));
    }
    places(context, width, tall * units.length + 4);
    map.setAttribute("aria-label", `Heat map of ${plain(units.length)} units of ${model.layers[state.layer].name}, ${model.unit}s ${plain(state.start + 1)} to ${plain(state.start + state.span)}. Current: unit ${state.unit}.`);
  });

  function cursor(context, width, height) {
    const step = across(width), x = GUTTER + (state.at - state.start) * step;
    context.strokeStyle = colour.variable("--ink");
    context.lineWidth = 1;
    context.strokeRect(Math.round(x) - 0.5, -1, Math.max(2, Math.round(step)) + 1, height + 2);
  }

  // The symbols below their columns where there is room, else round numbers.
  function places(context, width, y) {
    const step = across(width);
    context.fillStyle = colour.variable("--muted");
    context.textAlign = "center";
    context.textBaseline = "top";
    if (model.kind === "text" && step >= 7.5) {
      const symbols = document.getElementById("text").children;
      for (let i = state.start; i < state.start + state.span; i++) {
        const written = symbols[i].classList.contains("newline") ? "↵" : symbols[i].textContent;
        if ([...written].length * 6 <= step + 3) context.fillText(written, GUTTER + (i - state.start + 0.5) * step, y);
      }
      return;
    }
    const wanted = state.span / Math.max(2, Math.floor((width - GUTTER) / 90));
    const power = 10 ** Math.floor(Math.log10(wanted)), every = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= wanted);
    for (let i = Math.ceil((state.start + 1) / every) * every; i <= state.start + state.span; i += every) {
      const x = GUTTER + (i - 1 - state.start + 0.5) * step;
      if (x < width - 20) context.fillText(plain(i), x, y);
    }
  }

  // --- all parts of the chosen unit --------------------------------------------------------------------------------
  const shownParts = () => model.layers[state.layer].parts;
  const partsSheet = sheet(parts, () => shownParts().length * (PART + GAP), (context, width) => {
    const step = across(width), said = [];
    shownParts().forEach((part, i) => {
      const top = i * (PART + GAP), bytes = row(state.layer, part.name, state.unit), found = track(state.layer, part.name);
      const signed = Boolean(found && found.is_signed), zero = signed ? top + PART / 2 : top + PART;
      context.fillStyle = colour.variable("--sheet");
      context.fillRect(GUTTER, top, width - GUTTER, PART);
      holds(context, top, step);
      context.fillStyle = colour.variable("--ink");
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(part.name, GUTTER - 7, top + PART / 2);
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillStyle = colour.variable("--muted");
      if (!bytes) {
        context.fillText(`${part.title} ${state.unit}: not on this page, to keep it small`, GUTTER + 6, top + 4);
        return;
      }
      const most = fullest(state.layer, part.name, state.unit);
      context.beginPath();
      for (let n = 0; n < state.span; n++) {
        const y = zero - (bytes[state.start + n] / most) * (signed ? PART / 2 - 2 : PART - 4);
        // A stair: the value holds until the next symbol is read.
        if (n === 0) context.moveTo(GUTTER, y); else context.lineTo(GUTTER + n * step, y);
        context.lineTo(GUTTER + (n + 1) * step, y);
      }
      context.strokeStyle = colour.variable("--own");
      context.lineWidth = 1.4;
      context.stroke();
      const words = `${part.title} ${told(state.layer, part.name, state.unit, state.at)}`;
      context.fillStyle = colour.variable("--sheet");
      context.globalAlpha = 0.82;
      context.fillRect(GUTTER + 3, top + 2, context.measureText(words).width + 6, 15);
      context.globalAlpha = 1;
      context.fillStyle = colour.variable("--ink");
      context.fillText(words, GUTTER + 6, top + 3);
      said.push(words);
    });
    cursor(context, width, shownParts().length * (PART + GAP) - GAP);
    parts.setAttribute("aria-label", `All parts of unit ${state.unit} over time. At the current ${model.unit}: ${said.join(", ") || "not on this page"}.`);
  });

  function holds(context, top, step) {
    const property = state.property === null ? null : model.properties[state.property];
    if (!property || !property.binary || !property.labels) return;
    context.fillStyle = colour.variable("--line");
    for (let n = 0; n < state.span; n++) {
      if (property.labels[state.start + n] > 0.5) context.fillRect(GUTTER + n * step, top, step + 0.6, PART);
    }
  }

  // --- moving ------------------------------------------------------------------------------------------------------
  function pointed(event) {
    const box = event.target.getBoundingClientRect(), step = across(box.width);
    const at = state.start + Math.max(0, Math.min(state.span - 1, Math.floor((event.clientX - box.left - GUTTER) / step)));
    const units = order(), number = Math.floor((event.clientY - box.top) / rowHeight(units.length));
    const unit = event.target === map && number >= 0 && number < units.length ? units[number] : state.unit;
    return { at, unit };
  }
  for (const canvas of [map, parts]) {
    canvas.addEventListener("pointerdown", (event) => set({ by: "unit", ...pointed(event) }));
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) set({ at: pointed(event).at }); });
  }
  const zoom = (times) => ({ span: state.span * times });
  map.addEventListener("wheel", (event) => {
    // Zooming as everywhere: with Ctrl, or two fingers apart. A wheel alone scrolls the page.
    if (!event.ctrlKey) return;
    event.preventDefault();
    set(zoom(event.deltaY > 0 ? 1.25 : 0.8));
  }, { passive: false });
  const beside = (direction) => () => {
    const units = order(), at = units.indexOf(state.unit);
    return { by: "unit", unit: units[Math.max(0, Math.min(units.length - 1, at + direction))] ?? state.unit };
  };

  inspected.showMap = () => {
    inspected.keys(map, {
      ArrowUp: beside(-1), ArrowDown: beside(1), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
    });
    for (const button of document.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => set(button.dataset.zoom === "all" ? { span: model.count } : zoom(Number(button.dataset.zoom))));
    }
    const choice = document.getElementById("order");
    if (!model.properties.length) choice.querySelector("[value=property]").remove();
    choice.addEventListener("change", () => {
      set({ order: choice.value, property: choice.value === "property" && state.property === null ? 0 : state.property });
    });
    const told = document.getElementById("span");
    const tell = () => { told.textContent = `${model.layers[state.layer].parts[0]?.name ?? ""} of ${model.layers[state.layer].name}, ${model.unit}s ${plain(state.start + 1)} to ${plain(state.start + state.span)}`; };
    onChange(() => { tell(); mapSheet.redraw(); partsSheet.redraw(); });
    tell();
    inspected.sheets.push(mapSheet, partsSheet);
  };
})();
