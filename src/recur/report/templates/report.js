(() => {
  "use strict";
  const root = document.documentElement;
  const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // --- charts ------------------------------------------------------------------------------------------------------
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const config = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };

  function themed(figure) {
    const ink = variable("--ink"), muted = variable("--muted"), line = variable("--line"), paper = variable("--paper");
    const data = figure.data.map((trace) => {
      const colour = variable("--" + trace.meta.role);
      if (trace.type === "heatmap") return { ...trace, colorscale: [[0, paper], [1, colour]] };
      const fill = trace.fill ? { fillcolor: colour } : {};
      return { ...trace, ...fill, line: { ...trace.line, color: colour }, marker: { ...trace.marker, color: colour } };
    });
    const axis = (old) => ({
      ...old, color: muted, gridcolor: line, linecolor: line, tickcolor: line, spikecolor: muted, fixedrange: isTouch,
      title: { ...old.title, font: { size: 13, color: muted } },
    });
    const layout = {
      ...figure.layout,
      // The chart fills its box on the page, which is lower on a telephone.
      height: undefined,
      autosize: true,
      // The heading stands above it.
      title: undefined,
      margin: { ...figure.layout.margin, t: 14 },
      // The reader's zoom outlives a change of theme.
      uirevision: "kept",
      dragmode: isTouch ? false : "zoom",
      font: { ...figure.layout.font, family: getComputedStyle(document.body).fontFamily, color: ink },
      plot_bgcolor: paper,
      hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
      xaxis: axis(figure.layout.xaxis),
      yaxis: axis(figure.layout.yaxis),
      shapes: (figure.layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: variable("--level") } })),
      annotations: (figure.layout.annotations || []).map((note) => ({ ...note, font: { ...note.font, color: variable("--level") } })),
    };
    // The heading above the chart says what it counts.
    layout.yaxis.title = { text: "" };
    return { data, layout, config };
  }

  function draw() {
    for (const [key, figure] of Object.entries(figures)) Plotly.react("chart-" + key, themed(figure));
  }

  document.getElementById("unscripted")?.remove();
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Paper is white and narrower than the window.
  addEventListener("beforeprint", () => {
    root.dataset.printing = "";
    draw();
    for (const key of Object.keys(figures)) Plotly.Plots.resize("chart-" + key);
  });
  addEventListener("afterprint", () => {
    delete root.dataset.printing;
    draw();
    for (const key of Object.keys(figures)) Plotly.Plots.resize("chart-" + key);
  });

  // --- samples -----------------------------------------------------------------------------------------------------
  const samples = [...document.querySelectorAll(".sample")];
  const stepper = document.querySelector(".stepper");
  if (samples.length > 1) {
    const slider = stepper.querySelector("input");
    const buttons = [...stepper.querySelectorAll("button")];
    const show = (index) => {
      slider.value = index;
      slider.setAttribute("aria-valuetext", samples[index].dataset.says);
      samples.forEach((sample, i) => sample.classList.toggle("away", i !== index));
      buttons[0].disabled = index === 0;
      buttons[1].disabled = index === samples.length - 1;
    };
    slider.addEventListener("input", () => show(Number(slider.value)));
    for (const button of buttons) {
      button.addEventListener("click", () => {
        show(Number(slider.value) + Number(button.dataset.move));
        // A button that has become disabled would lose the focus to nowhere.
        if (button.disabled) slider.focus();
      });
    }
    stepper.parentElement.classList.add("stepped");
    stepper.hidden = false;
    show(samples.length - 1);
  }

  // --- symbols -----------------------------------------------------------------------------------------------------
  const tip = document.querySelector(".tip");
  const said = document.getElementById("said");
  let current = null;

  function point(symbol) {
    if (current) current.classList.remove("current");
    current = symbol;
    tip.hidden = !symbol;
    if (!symbol) return;
    symbol.classList.add("current");
    tip.textContent = symbol.dataset.says;
    pointing.place(tip, symbol);
  }

  for (const passage of document.querySelectorAll(".symbols")) {
    const last = passage.children.length - 1;
    let at = 0;
    const go = (index) => {
      at = Math.max(0, Math.min(last, index));
      const symbol = passage.children[at];
      symbol.scrollIntoView({ block: "nearest" });
      point(symbol);
      said.textContent = symbol.dataset.says;
    };
    const keys = {
      ArrowRight: () => at + 1, ArrowLeft: () => at - 1,
      ArrowDown: () => pointing.line(passage.children, at, 1), ArrowUp: () => pointing.line(passage.children, at, -1),
      Home: () => 0, End: () => last,
    };
    passage.addEventListener("focus", () => { if (passage.matches(":focus-visible")) go(at); });
    passage.addEventListener("blur", () => point(null));
    passage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape") { point(null); return; }
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      go(keys[event.key]());
    });
    passage.addEventListener("pointerover", (event) => {
      if (event.target === passage) return;
      at = [...passage.children].indexOf(event.target);
      point(event.target);
    });
    passage.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); });
  }
})();
