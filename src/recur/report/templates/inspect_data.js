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
  // What there is of a part: undefined where no unit of it is on this page, else `units` has those that are.
  const parts = new Map(), places = new Map(), known = new Map();
  const key = (...of) => of.join("/");
  const track = (layer, part) => parts.get(key(layer, part));

  function register(one) {
    let number = 0;
    for (const { layer, part, units } of one.of) {
      const about = model.layers[layer].parts.find((other) => other.name === part);
      const found = parts.get(key(layer, part)) || { ...about, part, units: [] };
      found.units = [...found.units, ...units].sort((a, b) => a - b);
      parts.set(key(layer, part), found);
      for (const unit of units) places.set(key(layer, part, unit), { one, number: number++, is_signed: about.is_signed });
    }
  }

  // The words of 16 bits that the characters carry, 13 bits in two of them.
  function words(text) {
    const codes = new Uint8Array(128), found = new Uint16Array((text.length * 13) >> 5);
    for (let i = 0; i < model.alphabet.length; i++) codes[model.alphabet.charCodeAt(i)] = i;
    let bits = 0, count = 0, at = 0;
    for (let i = 0; i < text.length; i += 2) {
      bits = (bits << 13) | (codes[text.charCodeAt(i)] * 91 + codes[text.charCodeAt(i + 1)]);
      count += 13;
      if (count < 16) continue;
      count -= 16;
      found[at++] = bits >>> count;
      bits &= (1 << count) - 1;
    }
    return found;
  }

  // What decoding needs, made when it is first needed: where each row begins, and for each context where the numbers lie
  // within the whole, and which number lies at each place of it.
  function tables(one) {
    if (one.begins) return one;
    const { levels, frequencies, lengths } = one, contexts = frequencies.length / levels;
    one.begins = new Uint32Array(lengths.length);
    for (let i = 1; i < lengths.length; i++) one.begins[i] = one.begins[i - 1] + lengths[i - 1];
    one.below = new Uint16Array(frequencies.length);
    one.found = new Uint8Array(contexts * model.whole);
    for (let context = 0; context < contexts; context++) {
      let sum = 0;
      for (let number = 0; number < levels; number++) {
        const at = context * levels + number;
        one.below[at] = sum;
        one.found.fill(number, context * model.whole + sum, context * model.whole + sum + frequencies[at]);
        sum += frequencies[at];
      }
    }
    one.words = words(one.words);
    return one;
  }

  // A unit of a part over all places, as bytes, or null where it is not on this page.
  function row(layer, part, unit) {
    const name = key(layer, part, unit), place = places.get(name);
    if (!place) return null;
    if (!known.has(name)) known.set(name, decoded(tables(place.one), place.number, place.is_signed));
    return known.get(name);
  }
  // As recur/report/row_coding.py has coded it.
  function decoded({ levels, most, expected, frequencies, begins, below, found, words }, number, isSigned) {
    const bytes = new Int8Array(model.count), kinds = expected.length / begins.length, { classes, whole } = model;
    const middle = isSigned ? levels >> 1 : 0, values = new Int8Array(levels);
    for (let i = 0; i < levels; i++) values[i] = Math.round(((i - middle) * most[number]) / (middle || Math.max(1, levels - 1)));
    let at = begins[number], state = words[at++] * 65536 + words[at++], before = 0;
    for (let n = 0; n < bytes.length; n++) {
      const context = expected[number * kinds + classes[n]] * 8 + before, slot = state & (whole - 1);
      const step = found[context * whole + slot], place = context * levels + step;
      state = frequencies[place] * Math.floor(state / whole) + slot - below[place];
      if (state < 65536) state = state * 65536 + words[at++];
      bytes[n] = values[step];
      before = Math.floor((step * 8) / levels);
    }
    return bytes;
  }

  // The next unit of the chosen part, or the one before, that is on this page.
  function beside(direction) {
    const found = track(state.layer, state.part), to = state.unit + direction;
    if (!found) return to;
    const units = direction > 0 ? found.units.filter((one) => one >= to) : found.units.filter((one) => one <= to).reverse();
    return units.length ? units[0] : state.unit;
  }

  // A value in words; nothing where it is not on this page.
  function told(layer, part, unit, at) {
    const bytes = row(layer, part, unit), place = places.get(key(layer, part, unit));
    if (!bytes) return "";
    const few = place.one.levels < 100 ? "≈ " : "";
    return few + written((bytes[at] / 127) * track(layer, part).scale);
  }

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
  const written = (number) =>
    minus(Math.abs(number) < 10 ? number.toFixed(2) : Math.abs(number) < 1000 ? number.toPrecision(3) : Math.round(number).toLocaleString("en"));
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
      for (const name of ["most", "expected", "frequencies", "lengths"]) one[name] = await unpack(one[name]);
      register(one);
    }));
    model.classes = await unpack(model.classes);
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
    if (model.answers) {
      for (const one of model.answers.answers) one.shares = await unpack(one.shares);
      const { ahead } = model.answers;
      for (const part of ahead ? ["median", "low", "high", "came"] : []) ahead[part] = await Promise.all(ahead[part].map(unpack));
    }
    for (const method of model.rests ? model.rests.methods : []) {
      method.window = method.shares.shape[1];
      method.shares = await unpack(method.shares);
    }
    model.places = await places;
    model.losses = await losses;
  }

  return { model, state, set, onChange, track, row, beside, told, fullest, written, percent, name, plain, say, load };
})();
