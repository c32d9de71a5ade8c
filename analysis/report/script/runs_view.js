// Loss over tokens, FLOPs or parameters: a panel per yardstick, because two yardsticks share no axis.

const RAMP_LENGTH = 8;

// Colour per size, lightness rising with it, as in the static figures.
function sizeColours(sizes) {
  const ordered = [...new Set(sizes)].sort((a, b) => a - b);
  const spread = Math.min((RAMP_LENGTH - 1) / Math.max(1, ordered.length - 1), RAMP_LENGTH - 1);
  return new Map(ordered.map((size, i) => [size, `--ramp-${Math.round(i * spread) + 1}`]));
}

// All of them in a legend, or six spread over the range.
function rampKeys(ramp, say) {
  const all = [...ramp.entries()];
  const last = all.length - 1;
  const kept = last < 6 ? all : Array.from({ length: 6 }, (_, k) => all[Math.round((k * last) / 5)]);
  return kept.map(([value, name]) => [name, say(value)]);
}

function runWords(data, i, view) {
  const { runs } = data;
  const bits = runs.bits_per_byte?.[i];
  const arm = data.arms[runs.arm[i]];
  return [
    `run ${runs.id[i]}`,
    [arm.name, runs.size?.[i] && `size ${runs.size[i]}`, runs.seed?.[i] && `seed ${runs.seed[i]}`].filter(Boolean).join(', '),
    `N = ${count(runs[view.n][i])} (${labelOf(data, 'n', view.n)})`,
    `D = ${count(runs.tokens[i])} tokens`,
    `C = ${flops(runs[view.c][i])} (${labelOf(data, 'c', view.c)})`,
    `loss ${number(runs.loss[i], 4)} ${arm.loss_unit}`,
    ...(bits ? [`${runs.is_bound[i] ? '≤ ' : ''}${number(bits, 4)} bits per byte`] : []),
  ];
}

function runsContent(data, arms, view) {
  const { runs } = data;
  const across = { tokens: 'tokens', flops: view.c, params: view.n }[view.x];
  const y = view.y === 'bits' ? runs.bits_per_byte : runs.loss;
  const members = new Map(arms.map((arm) => [arm.index, arm]));
  const shown = runs.id.map((_, i) => i).filter((i) => members.has(runs.arm[i]) && y[i] !== null && y[i] !== undefined);
  const ramp = sizeColours(shown.map((i) => runs[view.n][i]));
  const colourOf = (i) => (view.colour === 'size' ? ramp.get(runs[view.n][i]) : members.get(runs.arm[i]).colour);
  const marks = shown.map((i) => ({
    x: runs[across][i],
    y: y[i],
    colour: colourOf(i),
    shape: members.get(runs.arm[i]).marker,
    radius: shown.length > 200 ? 3 : 4.5,
    hollow: view.y === 'bits' && Boolean(runs.is_bound[i]),
    words: runWords(data, i, view),
  }));
  const drawn = new Set(shown);
  // A reading's FLOPs are the run's share of them; its size is the run's own, so there is no curve over N.
  const lines = !view.curves || view.y === 'bits' || view.x === 'params' ? [] : data.curves
    .filter(([i]) => drawn.has(i))
    .map(([i, tokens, losses]) => ({
      x: view.x === 'flops' ? tokens.map((d) => (d / runs.tokens[i]) * runs[view.c][i]) : tokens,
      y: losses,
      colour: colourOf(i),
      width: data.curves.length > 100 ? 0.7 : 1.1,
      faint: true,
    }));
  const labels = { tokens: data.tokens_label, flops: labelOf(data, 'c', view.c), params: labelOf(data, 'n', view.n) };
  const bySize = rampKeys(ramp, (size) => `N = ${count(size)}`);
  return {
    marks,
    lines,
    keys: view.colour === 'size' ? bySize : arms.map((arm) => [arm.colour, arm.name]),
    x: { label: labels[view.x], kind: view.x === 'flops' ? 'flops' : 'count' },
    y: { label: view.y === 'bits' ? 'bits per byte' : arms[0].loss_unit, kind: 'loss' },
  };
}

function drawRuns(data, panels) {
  const view = {
    x: chosen('runs-x'), y: chosen('runs-y') ?? 'loss', n: chosen('count-n'), c: chosen('count-c'),
    colour: chosen('runs-colour'), curves: isChecked('runs-curves'),
  };
  const arms = shownArms(data);
  const groups = new Map();
  for (const arm of arms) {
    const [key, label] = view.y === 'bits' ? ['bits', 'Bits per byte of held-out text'] : [arm.yardstick, arm.loss_label];
    groups.set(key, { label, arms: [...(groups.get(key)?.arms ?? []), arm] });
  }
  const made = [...groups.values()].map((group) => ({ ...group, title: `${group.arms.map((arm) => arm.name).join(', ')}: ${group.label}` }));
  panels.of(made.map((group) => group.title)).forEach((plot, i) => plot.show(runsContent(data, made[i].arms, view)));
  const isBits = view.y === 'bits' && arms.length > 0;
  document.getElementById('runs-note').textContent = isBits
    ? 'Hollow: an upper bound; the true value lies at or below.'
    : `${arms.length ? '' : 'No arm is chosen. '}Losses on two yardsticks never share an axis.`;
}
