// What each step and channel contributes to an answer, below the same stretch of time as the series.
(() => {
  const { model, state, set, onChange, name, written } = inspected;
  const canvas = document.getElementById("contributions"), choice = document.getElementById("answer");
  const says = document.getElementById("contributions-say"), views = [...document.querySelectorAll("[data-answer]")];
  if (!canvas || !model.answers) return;
  const GUTTER = 46, LABEL = 17, STRIP = 17, GAP = 6, FOOT = 20;
  const { begin, channels, answers } = model.answers;
  const rows = ["all channels", ...channels];
  // Contributions may be of any size.
  const signedNumber = (number) => {
    // What is packed is known to some hundred thousandths of the largest.
    if (!(Math.abs(number) > largest() / 20000)) return "0";
    const size = Math.abs(number), text = size < 0.1 ? String(Number(size.toPrecision(2))) : written(size);
    return (number > 0 ? "+" : "−") + text;
  };
  let chosen = 0;

  const answer = () => answers[chosen];
  const count = () => answer().shares.length / rows.length;
  // What a row contributes at a step; nothing where that is not explained.
  const share = (row, at) => (at < begin || at >= begin + count() ? NaN : answer().shares[row * count() + at - begin]);
  const largest = () => answer().shares.reduce((most, one) => Math.max(most, Math.abs(one) || 0), 0) || 1;
  const total = (row) => (row ? answer().sums[row - 1] : answer().sums.reduce((sum, one) => sum + (one || 0), 0));

  const sheetOf = sheet(canvas, () => rows.length * (LABEL + STRIP + GAP) + FOOT, (context, width) => {
    const step = (width - GUTTER) / state.span, most = largest(), table = colour.tables().signed;
    rows.forEach((row, y) => {
      const top = y * (LABEL + STRIP + GAP);
      context.fillStyle = colour.variable("--sheet");
      context.fillRect(GUTTER, top + LABEL, width - GUTTER, STRIP);
      for (let n = 0; n < state.span; n++) {
        const value = share(y, state.start + n);
        if (Number.isNaN(value)) continue;
        context.fillStyle = colour.css(table[colour.signedPlace(127 * Math.sign(value) * Math.sqrt(Math.abs(value) / most))]);
        context.fillRect(GUTTER + n * step, top + LABEL, step + 0.6, STRIP);
      }
      context.strokeStyle = colour.variable("--line");
      context.lineWidth = 1;
      context.strokeRect(GUTTER - 0.5, top + LABEL - 0.5, width - GUTTER, STRIP + 1);
      context.fillStyle = colour.variable("--ink");
      context.textAlign = "left";
      context.textBaseline = "top";
      const here = share(y, state.at), parts = [row];
      if (y && total(y) !== null) parts.push(`${signedNumber(total(y))} in all`);
      if (!Number.isNaN(here)) parts.push(`${signedNumber(here)} at this step`);
      context.fillText(parts.join("  "), GUTTER, top + 1, width - GUTTER);
    });
    const below = rows.length * (LABEL + STRIP + GAP);
    context.fillStyle = colour.variable("--muted");
    context.fillText(name(state.start), GUTTER, below + 2);
    context.textAlign = "right";
    context.fillText(name(state.start + state.span - 1), width, below + 2);
    context.strokeStyle = colour.variable("--ink");
    context.lineWidth = 1;
    context.strokeRect(Math.round(GUTTER + (state.at - state.start) * step) - 0.5, LABEL - 1, Math.max(2, Math.round(step)) + 1, below - LABEL);
  });

  function tell() {
    const at = state.at, own = rows.map((row, y) => [row, share(y, at)]).slice(1).filter(([, value]) => value);
    own.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const all = share(0, at);
    says.textContent = Number.isNaN(all)
      ? `${name(at)} is not one of the steps that ${answer().name} was explained by.`
      : `${name(at)} contributes ${signedNumber(all)} to ${answer().name}: ${own.slice(0, 4).map(([row, value]) => `${row} ${signedNumber(value)}`).join(", ") || "nothing"}.`;
  }

  function show() {
    for (const view of views) view.hidden = Number(view.dataset.answer) !== chosen;
    tell();
    sheetOf.redraw();
  }

  inspected.showAnswers = () => {
    inspected.keys(canvas);
    if (choice) choice.addEventListener("change", () => { chosen = Number(choice.value); show(); });
    const pointed = (event) => {
      const box = canvas.getBoundingClientRect();
      return state.start + Math.max(0, Math.min(state.span - 1, Math.floor(((event.clientX - box.left - GUTTER) * state.span) / (box.width - GUTTER))));
    };
    canvas.addEventListener("pointerdown", (event) => set({ at: pointed(event) }));
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) set({ at: pointed(event) }); });
    onChange(() => { tell(); sheetOf.redraw(); });
    inspected.sheets.push(sheetOf);
    show();
  };
})();
