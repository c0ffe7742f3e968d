// What the network expects after the current symbol, or which tags it considers for that one.
(() => {
  const { model, state, onChange, name, percent } = inspected;
  const list = document.querySelector("dl.next");

  function line(what, share, widest, hasCome) {
    const made = document.createElement("div"), term = document.createElement("dt"), said = document.createElement("dd"), bar = document.createElement("i");
    made.className = hasCome ? "came" : "";
    term.textContent = what;
    bar.style.width = `calc((100% - 9.5rem) * ${(share / widest).toFixed(4)})`;
    said.append(bar, percent(share) + (hasCome ? (model.next.came ? ", true" : ", came") : ""));
    made.append(term, said);
    return made;
  }

  function show() {
    const { ids, shares, names, count, came } = model.next;
    const follows = state.at + 1 < model.count ? name(state.at + 1) : null, comes = came ? came[state.at] ?? null : follows;
    const found = [];
    for (let k = state.at * count; k < (state.at + 1) * count; k++) {
      if (!Number.isNaN(shares[k])) found.push([names[ids[k]], shares[k]]);
    }
    const loss = came ? undefined : model.losses[state.at + 1], hasIt = found.some(([what]) => what === comes);
    if (comes !== null && !hasIt && loss !== undefined && !Number.isNaN(loss)) found.push([comes, Math.exp(-loss)]);
    const widest = Math.max(0.01, ...found.map(([, share]) => share));
    list.replaceChildren(...found.map(([what, share]) => line(what, share, widest, what === comes)));
  }

  inspected.showNext = () => {
    if (!list || !model.next) return;
    onChange((changed) => { if (changed.has("at")) show(); });
    show();
  };
})();
