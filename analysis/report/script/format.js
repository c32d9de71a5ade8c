// Numbers in words, as `analysis.style` writes them in the static part of the page.

const SUPERSCRIPTS = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };
const NARROW_SPACE = '\u202f';

function powerOfTen(exponent) {
  return '10' + [...String(exponent)].map((sign) => SUPERSCRIPTS[sign]).join('');
}

function grouped(value, decimals) {
  const [whole, rest] = Math.abs(value).toFixed(decimals).split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE) + (rest ? `.${rest}` : '');
  return value < 0 && Number(text.replaceAll(NARROW_SPACE, '')) !== 0 ? `−${text}` : text;
}

// `digits` significant ones, powers of ten beyond a million.
function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? 'unbounded' : '−unbounded';
  if (value === 0) return '0';
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent >= -4 && exponent < 6) return grouped(value, Math.max(0, digits - 1 - exponent));
  const [mantissa, power] = value.toExponential(digits - 1).split('e');
  return `${mantissa}${NARROW_SPACE}×${NARROW_SPACE}${powerOfTen(Number(power))}`.replace('-', '−');
}

// `2·10¹²`, `1.25·10¹¹`.
function flops(value) {
  const [mantissa, power] = value.toExponential(2).split('e');
  const short = String(Number(mantissa));
  return short === '1' ? powerOfTen(Number(power)) : `${short}·${powerOfTen(Number(power))}`;
}

// 25.3k, 1.2M, 3.4B.
function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (!Number.isFinite(value) || value > 1e18) return number(value);
  for (const [limit, letter] of [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'k']]) {
    if (Math.abs(value) >= 0.9995 * limit) return `${Number((value / limit).toPrecision(3))}${letter}`;
  }
  return String(Number(value.toPrecision(6)));
}

function between(low, high, say) {
  return low === null || high === null ? '' : `[${say(low)}, ${say(high)}]`;
}

// 45 s, 12 min, 3.5 h.
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
