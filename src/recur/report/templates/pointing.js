"use strict";
// What pages with text to point at have in common.
const pointing = (() => {
  // Put the tip above a symbol, or below where there is no room, within the window.
  function place(tip, symbol) {
    const at = symbol.getClientRects()[0], size = tip.getBoundingClientRect();
    const left = at.left + at.width / 2 - size.width / 2;
    tip.style.left = Math.max(8, Math.min(left, document.documentElement.clientWidth - size.width - 8)) + scrollX + "px";
    const above = at.top - size.height - 8;
    tip.style.top = (above > 8 ? above : at.bottom + 8) + scrollY + "px";
  }

  // The number of the symbol on the next line (direction 1) or the previous one (-1) that lies nearest to number `at`.
  function line(symbols, at, direction) {
    const here = symbols[at].getClientRects()[0];
    let best = at, distance = Infinity, row = null;
    for (let i = at + direction; i >= 0 && i < symbols.length; i += direction) {
      const there = symbols[i].getClientRects()[0];
      if (Math.abs(there.top - here.top) < here.height / 2) continue;
      if (row === null) row = there.top;
      if (Math.abs(there.top - row) > there.height / 2) break;
      if (Math.abs(there.left - here.left) < distance) {
        distance = Math.abs(there.left - here.left);
        best = i;
      }
    }
    return best;
  }

  return { place, line };
})();
