// Everything together, once what the page carries is unpacked.
(async () => {
  const root = document.documentElement;
  if (typeof DecompressionStream === "undefined") return;
  await inspected.load();
  document.getElementById("unscripted").remove();
  root.classList.add("scripting");
  inspected.sheets = [];
  inspected.set(inspected.firstChoice());
  const views = ["Text", "Series", "Units", "Map", "Path", "Next", "Rests", "Answers", "Words", "Network"];
  for (const view of views) inspected["show" + view]?.();
  const repaint = () => {
    colour.refresh();
    for (const one of inspected.sheets) one.paint();
  };
  repaint();
  for (const one of inspected.sheets) one.watch();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  // Paper is white.
  addEventListener("beforeprint", () => { root.dataset.printing = ""; repaint(); });
  addEventListener("afterprint", () => { delete root.dataset.printing; repaint(); });
  root.dataset.ready = "";
})();
