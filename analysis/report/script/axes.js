// Logarithmic axes: where ticks stand, what they say, and colours from the page's style sheet.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Powers of ten over many decades, round numbers over a few, even steps over less than half of one.
function logTicks(low, high, room) {
  const decades = Math.log10(high / low);
  if (decades > 2.2) {
    const every = Math.ceil(decades / room);
    const first = Math.ceil(Math.log10(low) / every - 1e-9) * every;
    const ticks = [];
    for (let e = first; e <= Math.log10(high) + 1e-9; e += every) ticks.push(10 ** e);
    return ticks;
  }
  if (decades > 0.4) {
    const inside = (steps) => {
      const ticks = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
        for (const step of steps) ticks.push(step * 10 ** e);
      }
      return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
    };
    const choices = [[1, 1.5, 2, 3, 4, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]].map(inside);
    return choices.find((ticks) => ticks.length <= room + 1) ?? choices.at(-1);
  }
  const rough = (high - low) / room;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= rough) * magnitude;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k += 1) ticks.push(k * step);
  return ticks;
}

function tickLabel(kind, value, ticks) {
  if (kind === 'flops') return flops(value);
  if (kind === 'count') return count(value);
  const gap = ticks.length > 1 ? Math.min(...ticks.slice(1).map((tick, i) => tick - ticks[i])) : value;
  const decimals = clip(Math.ceil(-Math.log10(gap) - 1e-6) + (/^2\.5/.test(gap.toExponential()) ? 1 : 0), 0, 6);
  return grouped(value, decimals);
}

// The range of positive values with room at both ends, in logarithms.
function paddedRange(values, share = 0.06) {
  const known = values.filter((value) => Number.isFinite(value) && value > 0);
  if (!known.length) return [1, 10];
  let low = Infinity;
  let high = 0;
  for (const value of known) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const margin = Math.max((high / low) ** share, 1.02);
  return [low / margin, high * margin];
}

function axis(scale, settings) {
  const isX = scale === 'x';
  const font = '12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
  const room = (u) => Math.max(2, Math.floor((isX ? u.bbox.width / devicePixelRatio / 70 : u.bbox.height / devicePixelRatio / 38)));
  return {
    scale,
    font,
    labelFont: font,
    label: settings.label,
    labelSize: 20,
    size: isX ? 34 : 52,
    gap: 4,
    stroke: () => colour('--ink'),
    grid: { stroke: () => colour('--grid'), width: 1 },
    ticks: { stroke: () => colour('--grid'), width: 1, size: 5 },
    splits: (u, _, low, high) => logTicks(low, high, room(u)),
    filter: (u, splits) => splits,
    values: (u, splits) => splits.map((tick) => tickLabel(settings.kind, tick, splits)),
  };
}
