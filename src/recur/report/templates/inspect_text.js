// The text: coloured, with a current symbol; and the bar that tells about it.
(() => {
  const { model, state, set, onChange, row, track, beside, told, fullest, written, percent, name, plain, say } = inspected;
  const text = document.getElementById("text");
  const symbols = text ? [...text.children] : [];
  const form = document.querySelector("form.cursor"), slider = document.getElementById("at");
  const now = document.getElementById("now"), tip = document.querySelector(".tip");
  const note = document.getElementById("unit-note");
  const byLoss = symbols.map((symbol) => symbol.className);
  const kinds = byLoss.map((classes) => classes.replace(/^l\d+/, ""));
  const scales = { loss: "loss-scale", signed: "signed-scale", gate: "gate-scale" };
  let current = null;

  const capital = (word) => word[0].toUpperCase() + word.slice(1);
  const unitName = () => `${model.layers[state.layer].name} ${state.part} ${state.unit}`;

  // What there is to tell about a place, in parts.
  function about(at) {
    const loss = model.losses[at], parts = [];
    if (!Number.isNaN(loss)) {
      parts.push(model.kind === "text" ? `${loss < 0.005 ? "less than 0.01" : loss.toFixed(2)} nats, it had a chance of ${percent(Math.exp(-loss))}` : `squared error ${loss.toPrecision(2)}`);
    }
    if (model.layers.length) {
      const there = told(state.layer, state.part, state.unit, at);
      if (there) parts.push(`${unitName()}: ${there}`);
    }
    return parts;
  }

  function tell() {
    const at = state.at;
    slider.value = at;
    const place = `${capital(model.unit)} ${plain(at + 1)} of ${plain(model.count)}`;
    slider.setAttribute("aria-valuetext", [place, name(at), ...about(at)].join(", "));
    now.textContent = "";
    const strong = document.createElement("b");
    strong.textContent = name(at);
    now.append(strong, ` · ${place}`, ...about(at).map((part) => ` · ${part}`));
  }

  function recolour() {
    const bytes = state.by === "unit" && model.layers.length ? row(state.layer, state.part, state.unit) : null;
    const signed = bytes ? track(state.layer, state.part).is_signed : false;
    const most = bytes ? fullest(state.layer, state.part, state.unit) : 127;
    const shown = state.by === "loss" ? "loss" : signed ? "signed" : "gate";
    for (const [key, id] of Object.entries(scales)) document.getElementById(id).hidden = key !== shown;
    note.textContent = "";
    if (state.by === "unit") {
      if (bytes) {
        const scale = (track(state.layer, state.part).scale * most) / 127, legend = document.getElementById(scales[shown]);
        legend.querySelector(".low").textContent = signed ? written(-scale) : "0";
        legend.querySelector(".high").textContent = written(scale);
      } else if (model.layers.length) {
        note.textContent = `${unitName()} is not on this page, to keep it small. It is in inspect.safetensors.`;
      }
    }
    const property = state.property === null ? null : model.properties[state.property];
    const labels = property && property.binary ? property.labels : null;
    symbols.forEach((symbol, i) => {
      const colouring = state.by === "loss" ? byLoss[i] : (bytes ? colour.level(bytes[i], signed, most) : "l0") + kinds[i];
      symbol.className = colouring + (labels && labels[i] > 0.5 ? " holds" : "") + (i === state.at ? " current" : "");
    });
    if (labels && text) note.textContent = [note.textContent, `Underlined: where “${property.name}” holds.`].filter(Boolean).join(" ");
    current = symbols[state.at] || null;
  }

  // Move the text within its own window, never the page.
  function reveal(symbol) {
    const box = text.getBoundingClientRect(), place = symbol.getBoundingClientRect();
    if (place.top < box.top + 8) text.scrollTop -= box.top + 40 - place.top;
    else if (place.bottom > box.bottom - 8) text.scrollTop += place.bottom - box.bottom + 40;
  }

  function mark() {
    if (current) current.classList.remove("current");
    current = symbols[state.at] || null;
    if (!current) return;
    current.classList.add("current");
    reveal(current);
  }

  onChange((changed) => {
    if (["by", "layer", "part", "unit", "property"].some((key) => changed.has(key))) recolour();
    if (changed.has("at") && text) mark();
    if (["at", "layer", "part", "unit"].some((key) => changed.has(key))) tell();
  });

  slider.addEventListener("input", () => set({ at: Number(slider.value) }));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      set({ at: state.at + Number(button.dataset.step) });
      say([name(state.at), ...about(state.at)].join(", "));
    });
  }

  // The keys that every view of the input knows; `more` has those of one view.
  inspected.keys = (element, more = {}) => {
    element.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      // Of the page only what nothing else has: a slider and a list have arrow keys of their own.
      if (element === document.body && event.target !== element) return;
      const keys = {
        ArrowRight: { at: state.at + 1 }, ArrowLeft: { at: state.at - 1 }, Home: { at: 0 }, End: { at: model.count - 1 },
        "[": { by: "unit", unit: beside(-1) }, "]": { by: "unit", unit: beside(1) },
      };
      const change = Object.hasOwn(more, event.key) ? more[event.key]() : Object.hasOwn(keys, event.key) ? keys[event.key] : null;
      if (!change) return;
      event.preventDefault();
      set(change);
      say([name(state.at), ...about(state.at)].join(", "));
    });
  };

  inspected.showText = () => {
    recolour();
    tell();
    // Home and end scroll.
    inspected.keys(document.body, { Home: () => null, End: () => null });
    if (!text) return;
    const vertical = (direction) => () => ({ at: pointing.line(symbols, state.at, direction) });
    inspected.keys(text, { ArrowDown: vertical(1), ArrowUp: vertical(-1) });
    const index = new Map(symbols.map((symbol, i) => [symbol, i]));
    text.addEventListener("pointerdown", (event) => {
      if (index.has(event.target)) set({ at: index.get(event.target) });
    });
    text.addEventListener("pointerover", (event) => {
      const at = index.get(event.target);
      if (event.pointerType !== "mouse" || at === undefined) return;
      // Drawn along with the button held, the current symbol goes along.
      if (event.buttons & 1) set({ at });
      tip.hidden = false;
      tip.textContent = [name(at), ...about(at)].join(" · ");
      pointing.place(tip, event.target);
    });
    text.addEventListener("pointerleave", () => { tip.hidden = true; });
    text.addEventListener("scroll", () => { tip.hidden = true; });
  };
})();
