// What the page carries, and what its views share: the current place, the chosen unit, the stretch of time in view.
const inspected = (() => {
  const model = JSON.parse(document.getElementById("inspection").textContent);
  const types = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array };
  const MISSING = -32768;

  async function unpack(entry) {
    const deflated = atob(entry.data), bytes = new Uint8Array(deflated.length);
    for (let i = 0; i < deflated.length; i++) bytes[i] = deflated.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const whole = new types[entry.type](await new Response(stream).arrayBuffer());
    if (entry.step === undefined) return whole;
    const numbers = new Float32Array(whole.length);
    for (let i = 0; i < whole.length; i++) {
      numbers[i] = whole[i] === MISSING ? NaN : entry.low + (whole[i] + 32767) * entry.step;
    }
    return numbers;
  }

  // --- what is current ---------------------------------------------------------------------------------------------
  const state = {
    at: 0, by: "loss", layer: 0, part: "h", unit: 0, property: null, order: "similar", start: 0, span: model.count,
  };
  const listeners = [];
  const onChange = (listener) => listeners.push(listener);

  function set(change) {
    const next = { ...state, ...change };
    next.at = Math.max(0, Math.min(model.count - 1, next.at));
    const layer = model.layers[next.layer];
    if (layer) {
      // A layer of another kind may have other parts, and fewer units.
      const part = layer.parts.find((one) => one.name === next.part) || layer.parts[0];
      next.part = part ? part.name : "";
      next.unit = part ? Math.max(0, Math.min(part.width - 1, next.unit || 0)) : 0;
    }
    next.span = Math.max(Math.min(12, model.count), Math.min(model.count, Math.round(next.span)));
    // The current place stays in view; it is brought to the middle when it leaves.
    if (change.span !== undefined || next.at < next.start || next.at >= next.start + next.span) {
      next.start = Math.round(next.at - next.span / 2);
    }
    next.start = Math.max(0, Math.min(model.count - next.span, next.start));
    const changed = new Set(Object.keys(next).filter((key) => next[key] !== state[key]));
    Object.assign(state, next);
    if (changed.size) for (const listener of listeners) listener(changed);
  }

  // --- states and gates --------------------------------------------------------------------------------------------
  function track(layer, part) {
    return model.tracks.find((one) => one.layer === layer && one.part === part);
  }

  // A unit of a part over all places, as bytes, or null where it is not on this page.
  function row(layer, part, unit) {
    const found = track(layer, part);
    if (!found) return null;
    const at = found.units ? found.units.indexOf(unit) : unit;
    return at < 0 || at >= found.rows ? null : found.bytes.subarray(at * model.count, (at + 1) * model.count);
  }

  // The next unit of the chosen part, or the one before, that is on this page.
  function beside(direction) {
    const found = track(state.layer, state.part), to = state.unit + direction;
    if (!found || !found.units) return to;
    const units = direction > 0 ? found.units.filter((one) => one >= to) : found.units.filter((one) => one <= to).reverse();
    return units.length ? units[0] : state.unit;
  }

  const value = (layer, part, unit, at) => {
    const bytes = row(layer, part, unit);
    return bytes ? (bytes[at] / 127) * track(layer, part).scale : NaN;
  };

  // The byte that gets the strongest colour and the greatest height. Gates and bounded states have a range that all units
  // share; where there is no bound, one wild unit would leave all others pale, so each has its own.
  function fullest(layer, part, unit) {
    const found = track(layer, part);
    if (!found || found.scale <= 1.5) return 127;
    let most = 1;
    for (const byte of row(layer, part, unit) || []) most = Math.max(most, Math.abs(byte));
    return most;
  }

  // --- words -------------------------------------------------------------------------------------------------------
  const minus = (text) => text.replace("-", "−");
  const written = (number) => minus(Math.abs(number) < 10 ? number.toFixed(2) : number.toPrecision(3));
  const percent = (share) => (share >= 0.0995 ? (100 * share).toFixed(0) : share >= 0.001 ? (100 * share).toFixed(1) : "under 0.1") + "%";
  const name = (at) => model.names[model.places[at]];
  const plain = (number) => number.toLocaleString("en");

  const said = document.getElementById("said");
  let saying = null;
  // Only the last of many quick moves is told.
  function say(text) {
    clearTimeout(saying);
    saying = setTimeout(() => { said.textContent = text; }, 150);
  }

  async function load() {
    const places = unpack(model.named), losses = unpack(model.losses);
    await Promise.all(model.tracks.map(async (one) => {
      one.bytes = await unpack(one.values);
      one.rows = one.values.shape[0];
      delete one.values;
    }));
    for (const layer of model.layers) if (layer.path) layer.path = await unpack(layer.path);
    for (const one of model.properties) if (one.labels) one.labels = await unpack(one.labels);
    if (model.next) {
      model.next.count = model.next.ids.shape[1];
      [model.next.ids, model.next.shares] = await Promise.all([unpack(model.next.ids), unpack(model.next.shares)]);
    }
    if (model.series) {
      model.series.values = await Promise.all(model.series.values.map(unpack));
      model.series.predictions = await Promise.all(model.series.predictions.map(unpack));
    }
    for (const method of model.rests ? model.rests.methods : []) {
      method.window = method.shares.shape[1];
      method.shares = await unpack(method.shares);
    }
    model.places = await places;
    model.losses = await losses;
  }

  return { model, state, set, onChange, track, row, beside, value, fullest, written, percent, name, plain, say, load };
})();
