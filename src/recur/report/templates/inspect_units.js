// Which unit is looked at: chosen by its number, or found by what it follows.
(() => {
  const { model, state, set, beside, onChange } = inspected;
  const layers = document.getElementById("layer"), parts = document.getElementById("part"), unit = document.getElementById("unit");
  const candidates = [...document.querySelectorAll(".candidate")];
  const properties = [...document.querySelectorAll(".property")];

  function option(value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    return made;
  }

  function showChoice(changed) {
    if (changed.has("layer")) {
      layers.value = state.layer;
      parts.replaceChildren(...model.layers[state.layer].parts.map((one) =>
        option(one.name, one.title === one.name ? one.name : `${one.name}, ${one.title}`)));
    }
    parts.value = state.part;
    unit.value = state.unit;
    const part = model.layers[state.layer].parts.find((one) => one.name === state.part);
    unit.max = part ? part.width - 1 : 0;
    for (const radio of document.querySelectorAll("input[name=by]")) radio.checked = radio.value === state.by;
    for (const one of candidates) {
      const isChosen = state.by === "unit" && Number(one.dataset.layer) === state.layer && one.dataset.part === state.part && Number(one.dataset.unit) === state.unit;
      one.setAttribute("aria-pressed", String(isChosen));
    }
  }

  function filter(wanted) {
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const found = properties.filter((one) => {
      one.hidden = !words.every((word) => one.dataset.name.toLowerCase().includes(word));
      return !one.hidden;
    });
    // Looking for one property one wants all of its units.
    for (const one of properties) for (const rest of one.querySelectorAll(".rest")) rest.hidden = found.length > 2;
    document.getElementById("found-none").hidden = found.length > 0;
  }

  inspected.showUnits = () => {
    if (properties.length) {
      const search = document.querySelector(".search input");
      search.addEventListener("input", () => filter(search.value));
      filter("");
    }
    if (!model.layers.length) return;
    layers.replaceChildren(...model.layers.map((layer, i) => option(i, layer.name)));
    layers.addEventListener("change", () => set({ by: "unit", layer: Number(layers.value) }));
    parts.addEventListener("change", () => set({ by: "unit", part: parts.value }));
    unit.addEventListener("change", () => set({ by: "unit", unit: Math.round(Number(unit.value)) }));
    for (const button of document.querySelectorAll("[data-unit-move]")) {
      button.addEventListener("click", () => set({ by: "unit", unit: beside(Number(button.dataset.unitMove)) }));
    }
    for (const radio of document.querySelectorAll("input[name=by]")) {
      radio.addEventListener("change", () => set({ by: radio.value }));
    }
    for (const form of document.querySelectorAll("form.controls")) {
      form.addEventListener("submit", (event) => event.preventDefault());
    }
    for (const one of candidates) {
      one.addEventListener("click", () => set({
        by: "unit", layer: Number(one.dataset.layer), part: one.dataset.part, unit: Number(one.dataset.unit),
        property: Number(one.closest(".property").dataset.property),
      }));
    }
    onChange((changed) => { if (["by", "layer", "part", "unit"].some((key) => changed.has(key))) showChoice(changed); });
    showChoice(new Set(["layer"]));
  };

  // What to begin with: the unit that follows its property best, if there is one.
  inspected.firstChoice = () => {
    const best = candidates.find((one) => !one.classList.contains("doubtful"));
    const span = Math.min(model.count, innerWidth < 700 ? 70 : 160);
    // Not the very beginning, where the state is still empty.
    const begun = model.answers ? { span, at: model.answers.begin + model.answers.answers[0].shares.length / (model.answers.channels.length + 1) - 1 } : { span, at: model.rests ? model.rests.positions.find((at) => at >= span / 4) ?? span >> 1 : span >> 1 };
    if (!model.layers.length) return begun;
    if (!best) return { ...begun, by: model.kind === "text" && !model.answers ? "loss" : "unit" };
    return {
      ...begun, by: "unit", layer: Number(best.dataset.layer), part: best.dataset.part, unit: Number(best.dataset.unit),
      property: Number(best.closest(".property").dataset.property),
    };
  };
})();
