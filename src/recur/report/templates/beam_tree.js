// The tree of a search: the way to the node under the cursor, and what there is to tell of it.
(() => {
  for (const drawing of document.querySelectorAll(".beams svg")) {
    const nodes = [...drawing.querySelectorAll("[data-node]")], edges = [...drawing.querySelectorAll("[data-edge]")];
    const parent = nodes.map((node) => (node.dataset.parent === "" ? -1 : Number(node.dataset.parent)));
    const edge = new Map(edges.map((one) => [Number(one.dataset.edge), one]));
    const column = nodes.map((node) => Number(node.dataset.x)), row = nodes.map((node) => Number(node.dataset.y));
    const says = drawing.closest(".beams").querySelector(".said");
    let at = 0;

    function show(number) {
      at = number;
      const way = new Set();
      for (let one = at; one >= 0; one = parent[one]) way.add(one);
      nodes.forEach((node, i) => {
        node.classList.toggle("on", way.has(i));
        node.classList.toggle("current", i === at);
        edge.get(i)?.classList.toggle("on", way.has(i));
      });
      says.textContent = nodes[at].dataset.says;
    }

    const beside = (direction) => {
      const own = nodes.map((_, i) => i).filter((i) => column[i] === column[at]).sort((a, b) => row[a] - row[b]);
      return own[own.indexOf(at) + direction] ?? at;
    };
    const child = () => {
      const own = parent.map((_, i) => i).filter((i) => parent[i] === at).sort((a, b) => row[a] - row[b]);
      return own.find((i) => nodes[i].classList.contains("best")) ?? own[0] ?? at;
    };
    for (const name of ["pointerover", "pointerdown"]) {
      drawing.addEventListener(name, (event) => {
        const node = event.target.closest("[data-node]");
        if (node) show(nodes.indexOf(node));
      });
    }
    drawing.addEventListener("focus", () => show(at));
    drawing.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const keys = { ArrowRight: child, ArrowLeft: () => Math.max(0, parent[at]), ArrowDown: () => beside(1), ArrowUp: () => beside(-1) };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      show(keys[event.key]());
      nodes[at].scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }
})();
