// Which words speak for a class: the text on its colours, with the current word.
(() => {
  const { model, state, set, onChange } = inspected;
  const views = [...document.querySelectorAll("[data-words]")], choice = document.getElementById("answer");
  const says = document.getElementById("words-say"), texts = [...document.querySelectorAll(".words")];
  if (!views.length) return;
  const spans = texts.map((text) => [...text.children]);
  let chosen = 0;

  function show() {
    for (const view of views) view.hidden = Number(view.dataset.words) !== chosen;
    for (const each of spans) each.forEach((span, at) => span.classList.toggle("current", at === state.at));
    const own = spans[texts.indexOf(views[chosen].querySelector(".words"))];
    says.textContent = `${own[state.at].title} for ${model.answers.answers[chosen].name}.`;
  }

  inspected.showWords = () => {
    if (choice) choice.addEventListener("change", () => { chosen = Number(choice.value); show(); });
    texts.forEach((text, number) => {
      const places = new Map(spans[number].map((span, at) => [span, at]));
      const vertical = (direction) => () => ({ at: pointing.line(spans[number], state.at, direction) });
      inspected.keys(text, { ArrowDown: vertical(1), ArrowUp: vertical(-1) });
      text.addEventListener("pointerdown", (event) => {
        if (places.has(event.target)) set({ at: places.get(event.target) });
      });
    });
    onChange((changed) => { if (changed.has("at")) show(); });
    show();
  };
})();
