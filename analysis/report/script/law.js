// L = E + A / N^alpha + B / D^beta at a budget: the best split, with intervals from the draws.
// The same steps as `analysis.optimum` and `analysis.predict`, on parameters fitted there;
// Hoffmann et al. 2022, arXiv:2203.15556, section 3.3 and equation 4.
// A set of parameters is five numbers in scaled coordinates: E, A, B, alpha, beta.

const LEVEL = 0.95;
const WIDTH = 5;
const MAX_LOG = 300;
const REACH = Math.log(1e9);
const POINTS = 400;
const ROUNDS = 4;

function decodeFloats(base64) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
}

// What a law of the data needs only once: its arrays.
function readLaw(entry) {
  if (!entry.read) {
    const rules = {};
    for (const [column, rule] of Object.entries(entry.rules)) {
      rules[column] = rule.per_token && rule.per_token.map(decodeFloats);
    }
    entry.read = { theta: decodeFloats(entry.theta), draws: entry.draws && decodeFloats(entry.draws), rules };
  }
  return entry.read;
}

const clip = (value, low, high) => Math.min(Math.max(value, low), high);
const power = (log, exponent) => Math.exp(clip(-exponent * log, -MAX_LOG, MAX_LOG));

function lossAt(sets, row, logN, logD, scales) {
  const i = WIDTH * row;
  const value = sets[i] + sets[i + 1] * power(logN - Math.log(scales.n), sets[i + 3])
    + sets[i + 2] * power(logD - Math.log(scales.d), sets[i + 4]);
  return value * scales.loss;
}

// log FLOPs per token at log N, continued with the slope of the outermost two sizes.
function logPerToken([logSizes, values], logN) {
  const last = logSizes.length - 1;
  if (last === 0) return values[0] + logN - logSizes[0];
  let i = 0;
  while (i < last - 1 && logN > logSizes[i + 1]) i += 1;
  const slope = (values[i + 1] - values[i]) / (logSizes[i + 1] - logSizes[i]);
  return values[i] + slope * (logN - logSizes[i]);
}

// Splits of 6 N D in closed form: N* = G (C/6)^a.
function closedForm(sets, scales, budget) {
  return Array.from({ length: sets.length / WIDTH }, (_, row) => {
    const [A, B, alpha, beta] = sets.subarray(WIDTH * row + 1, WIDTH * row + WIDTH);
    const logA = Math.log(A) + alpha * Math.log(scales.n);
    const logB = Math.log(B) + beta * Math.log(scales.d);
    const logG = (Math.log(alpha) + logA - Math.log(beta) - logB) / (alpha + beta);
    const logN = logG + (beta / (alpha + beta)) * Math.log(budget / 6);
    const logD = Math.log(budget / 6) - logN;
    const loss = Number.isFinite(logN) ? lossAt(sets, row, logN, logD, scales) : NaN;
    return { logN, logD, loss };
  });
}

// Splits under another count of FLOPs, searched for on the line that all draws share.
function searched(sets, scales, budget, rule) {
  const rows = sets.length / WIDTH;
  const centre = Math.log(scales.n);
  const best = new Int32Array(rows);
  const around = Array.from({ length: rows }, () => [0, 0, 0]);
  const logTokens = (logN) => Math.log(budget) - logPerToken(rule, clip(logN, -50, 200));
  let [low, high] = [centre - REACH, centre + REACH];
  let grid;
  for (let round = 0; round < ROUNDS; round += 1) {
    const step = (high - low) / (POINTS - 1);
    grid = Float64Array.from({ length: POINTS }, (_, k) => low + k * step);
    const tokens = grid.map(logTokens);
    const curve = new Float64Array(POINTS);
    for (let row = 0; row < rows; row += 1) {
      let lowest = 0;
      for (let k = 0; k < POINTS; k += 1) {
        curve[k] = lossAt(sets, row, grid[k], tokens[k], scales);
        if (curve[k] < curve[lowest]) lowest = k;
      }
      best[row] = lowest;
      const inner = clip(lowest, 1, POINTS - 2);
      around[row] = [curve[inner - 1], curve[inner], curve[inner + 1], curve[lowest]];
    }
    const first = best.reduce((a, b) => Math.min(a, b));
    const last = best.reduce((a, b) => Math.max(a, b));
    [low, high] = [grid[first] - 2 * (grid[1] - grid[0]), grid[last] + 2 * (grid[1] - grid[0])];
  }
  return around.map(([left, middle, right, loss], row) => {
    const bend = left - 2 * middle + right;
    let shift = (0.5 * (left - right)) / (bend > 0 ? bend : 1);
    if (!(bend > 0 && Math.abs(shift) <= 1)) shift = 0;
    let logN = grid[clip(best[row], 1, POINTS - 2)] + shift * (grid[1] - grid[0]);
    if (Math.abs(logN - centre) > REACH - 1) logN = Math.sign(logN - centre) * Infinity;
    return { logN, logD: logTokens(logN), loss };
  });
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const i = Math.floor(at);
  const next = sorted[Math.min(i + 1, sorted.length - 1)];
  return sorted[i] + (at - i) * (next - sorted[i]);
}

// Percentiles of the draws on logarithms, stretched about the estimate.
function withEnds(value, logs, stretch) {
  if (!logs || !Number.isFinite(value) || value <= 0) return { value, low: null, high: null };
  const centre = Math.log(value);
  const line = Float64Array.from(logs, (log) => clip(Number.isNaN(log) ? centre : log, -700, 700)).sort();
  const [low, high] = [(1 - LEVEL) / 2, 1 - (1 - LEVEL) / 2].map((share) => quantile(line, share));
  const stretched = [Math.min(centre - stretch * (centre - low), low), Math.max(centre + stretch * (high - centre), high)];
  return { value, low: Math.exp(Math.max(stretched[0], -700)), high: Math.exp(Math.min(stretched[1], 700)) };
}

// N*, D* and loss at a budget under one count of FLOPs, and how far beyond the runs it lies.
function optimum(entry, column, budget) {
  const { theta, draws, rules } = readLaw(entry);
  const split = (sets) => (rules[column]
    ? searched(sets, entry.scales, budget, rules[column])
    : closedForm(sets, entry.scales, budget));
  const [point] = split(theta);
  const drawn = draws && split(draws);
  const estimate = (value, log) => withEnds(value, drawn && drawn.map(log), entry.stretch);
  const { low, high } = entry.rules[column];
  const found = {
    n: estimate(Math.exp(point.logN), (draw) => draw.logN),
    tokens: estimate(Math.exp(point.logD), (draw) => draw.logD),
    loss: estimate(point.loss, (draw) => Math.log(draw.loss)),
    decades: Math.max(0, Math.log10(budget / high), Math.log10(low / budget)),
  };
  const values = [found.n.value, found.tokens.value, found.loss.value];
  found.exists = values.every((value) => Number.isFinite(value) && value > 0);
  return found;
}
