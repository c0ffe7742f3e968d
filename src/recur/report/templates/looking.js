// What was read lights up by how much the token under the cursor, of those that were written, looked at it; and back.
(() => {
  for (const figure of document.querySelectorAll(".looking")) {
    const [source, written] = [...figure.querySelectorAll(".tokens")].map((line) => [...line.children]);
    const says = figure.querySelector(".said"), into = figure.querySelector(".into");
    const weights = written.map((token) => token.dataset.weights.split(" ").map(Number));
    const shown = (value) => ("share" in figure.dataset ? `${(100 * value).toFixed(0)}%` : value.toPrecision(2));
    let at = 0;

    function paint(tokens, values, current) {
      const top = Math.max(...values, 1e-30);
      for (const one of [...source, ...written]) {
        one.style.removeProperty("--looked");
        one.classList.toggle("current", one === current);
      }
      tokens.forEach((token, i) => token.style.setProperty("--looked", (values[i] / top).toFixed(3)));
    }

    function tell(current, tokens, values, middle) {
      const order = values.map((_, i) => i).sort((a, b) => values[b] - values[a]).slice(0, 4);
      const told = order.filter((i) => values[i] > 0).map((i) => `${tokens[i].dataset.name} ${shown(values[i])}`);
      says.textContent = `${current.dataset.name} ${middle} ${told.join(", ") || "nothing"}.`;
    }

    function show(number) {
      at = Math.max(0, Math.min(written.length - 1, number));
      paint(source, weights[at], written[at]);
      tell(written[at], source, weights[at], figure.dataset.verb);
    }

    function back(number) {
      const values = weights.map((row) => row[number]);
      paint(written, values, source[number]);
      tell(source[number], written, values, `was ${figure.dataset.verb} by`);
    }

    for (const name of ["pointerover", "pointerdown"]) {
      figure.addEventListener(name, (event) => {
        const [of, from] = [written.indexOf(event.target), source.indexOf(event.target)];
        if (of >= 0) show(of);
        else if (from >= 0) back(from);
      });
    }
    into.addEventListener("focus", () => show(at));
    into.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: written.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      show(to);
    });
    if (written.length) show(0);
  }
})();
