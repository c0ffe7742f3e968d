// Which of the inputs before a prediction rests on.
(() => {
  const { model, state, set, onChange, name, plain } = inspected;
  const controls = document.getElementById("rests-controls");
  const text = document.getElementById("rests-text"), says = document.getElementById("rests-says");
  if (!controls || !model.rests) return;
  const stepper = controls.parentElement.querySelector(".stepper");
  const slider = stepper.querySelector("input"), buttons = [...stepper.querySelectorAll("button")];
  const { positions, methods } = model.rests;
  let chosen = 0, method = 0;

  const share = (number) => `${number < 0 ? "−" : "+"}${(100 * Math.abs(number)).toFixed(0)}%`;

  function symbol(at, level) {
    const made = document.createElement("span"), shown = document.getElementById("text");
    const original = shown ? shown.children[at] : null;
    made.className = level + (original && original.classList.contains("newline") ? " newline" : original && original.classList.contains("space") ? " space" : "");
    made.textContent = original ? original.textContent : name(at) + " ";
    return made;
  }

  function show() {
    const { window, shares } = methods[method], p = positions[chosen];
    const first = Math.max(0, p - window + 1), ofPlace = (at) => shares[chosen * window + window - 1 - (p - at)];
    const places = Array.from({ length: p - first + 1 }, (_, i) => first + i);
    const largest = Math.max(1e-9, ...places.map((at) => Math.abs(ofPlace(at)) || 0));
    const line = document.createElement("p");
    line.className = "symbols";
    line.dir = "auto";
    for (const at of places) {
      const made = symbol(at, colour.level(Math.round(127 * ((ofPlace(at) || 0) / largest)), true));
      made.title = `${name(at)}: ${share(ofPlace(at) || 0)}`;
      line.append(made);
    }
    if (p + 1 < model.count) {
      const target = symbol(p + 1, "target");
      if (target.textContent === "\n") target.textContent = "";
      line.append(target);
    }
    text.replaceChildren(line);
    const strongest = places.filter((at) => ofPlace(at)).sort((a, b) => Math.abs(ofPlace(b)) - Math.abs(ofPlace(a))).slice(0, 4);
    const listed = strongest.map((at) => `${name(at)} ${at === p ? "just before it" : `${plain(p + 1 - at)} before`} (${share(ofPlace(at))})`).join(", ");
    const comes = p + 1 < model.count ? name(p + 1) : `what comes after ${model.unit} ${plain(p + 1)}`;
    says.textContent = `${comes}, ${model.unit} ${plain(p + 2)}, outlined: by ${methods[method].name} most weight lies on ${listed || "nothing"}.`;
    slider.value = chosen;
    slider.setAttribute("aria-valuetext", `${comes}, ${model.unit} ${plain(p + 2)}`);
    buttons[0].disabled = chosen === 0;
    buttons[1].disabled = chosen === positions.length - 1;
  }

  function step(to) {
    chosen = Math.max(0, Math.min(positions.length - 1, to));
    set({ at: positions[chosen] });
    show();
  }

  inspected.showRests = () => {
    const radios = [...controls.querySelectorAll("input")];
    radios[0].checked = true;
    chosen = Math.max(0, positions.indexOf(state.at));
    for (const radio of radios) radio.addEventListener("change", () => { method = Number(radio.value); show(); });
    controls.addEventListener("submit", (event) => event.preventDefault());
    slider.addEventListener("input", () => step(Number(slider.value)));
    for (const button of buttons) {
      button.addEventListener("click", () => {
        step(chosen + Number(button.dataset.move));
        if (button.disabled) slider.focus();
      });
    }
    // Where the reader's place happens to be explained, it is shown.
    onChange((changed) => {
      const at = positions.indexOf(state.at);
      if (changed.has("at") && at >= 0 && at !== chosen) { chosen = at; show(); }
    });
    show();
  };
})();
