// A budget in FLOPs -> N*, D* and loss of every arm's law; the same numbers as `scaling predict`.

// A run hits its nominal budget to within this many decades.
const SAME_DECADES = 0.02;

// FLOPs as people write them: 1e15, 2.5e21, 3*10^18, 10^15, 4·10¹⁸.
function parseBudget(text) {
  const plain = [...text.trim()].map((sign) => {
    const digit = Object.keys(SUPERSCRIPTS).find((key) => SUPERSCRIPTS[key] === sign);
    return digit ?? sign;
  }).join('').replaceAll(/[\s,_\u202f]/g, '').replaceAll(/[·×x]/g, '*');
  const scientific = plain.replace(/^(?:([\d.]+)\*)?10\^?\+?(\d{1,3})$/, (whole, factor, exponent) => (
    plain.includes('^') || plain.includes('*') || /[⁰¹²³⁴-⁹]/.test(text) ? `${factor ?? 1}e${exponent}` : whole));
  return /^\d*\.?\d+(?:e\+?\d{1,3})?$|^\d+\.(?:e\+?\d{1,3})?$/i.test(scientific) ? Number(scientific) : NaN;
}

function calculatorRow(data, arm, budget) {
  const [n, c] = [chosen('count-n'), chosen('count-c')];
  const law = data.laws.find((entry) => entry.arm === arm.index && entry.n === n);
  const name = element('th', { scope: 'row' }, arm.name);
  const none = (reason) => [element('tr', {}, name, element('td', { colspan: '5' }, `no law: ${reason}`)), law];
  if (!law || law.reason) return none(law ? law.reason : 'this count of N was not fitted');
  const best = optimum(law, c, budget);
  const value = (estimate, say) => {
    const made = element('td', { class: 'n' }, say(estimate.value));
    const ends = between(estimate.low, estimate.high, say);
    if (ends) made.append(element('small', {}, ends));
    return made;
  };
  if (!best.exists) return none('it has no optimum at this budget: one of its terms vanished in the fit');
  const where = best.decades > SAME_DECADES ? `${number(best.decades, 2)} decades beyond the runs` : 'within the runs';
  const row = element(
    'tr', { class: best.decades > SAME_DECADES ? 'beyond' : '' }, name,
    value(best.n, count), value(best.tokens, count),
    element('td', { class: 'n' }, number(best.tokens.value / best.n.value)),
    value(best.loss, (loss) => number(loss, 4)), element('td', {}, where),
  );
  row.dataset.exact = JSON.stringify({ arm: arm.name, ...best });
  return [row, law];
}

function calculate(data) {
  const input = document.getElementById('budget');
  const budget = parseBudget(input.value);
  const isGood = Number.isFinite(budget) && budget > 0;
  const error = document.getElementById('budget-error');
  input.setAttribute('aria-invalid', String(!isGood));
  error.hidden = isGood;
  document.getElementById('budget-result').hidden = !isGood;
  if (!isGood) {
    error.textContent = `${JSON.stringify(input.value.slice(0, 40))} is no number of FLOPs above 0; write 1e18 or 2.5e21.`;
    return;
  }
  const made = shownArms(data).map((arm) => [arm, ...calculatorRow(data, arm, budget)]);
  document.getElementById('budget-rows').replaceChildren(...made.map(([, row]) => row));
  const doubts = made.flatMap(([arm, , law]) => (law?.flags ?? []).map((flag) => `${arm.name}: ${flag}`));
  document.getElementById('budget-flags').replaceChildren(...doubts.map((words) => (
    element('li', { class: 'warning' }, element('b', {}, 'warning'), ` ${words}`))));
  const counted = [labelOf(data, 'n', chosen('count-n')), labelOf(data, 'c', chosen('count-c'))];
  const methods = [...new Set(made.map(([, , law]) => law?.method).filter(Boolean))];
  document.getElementById('budget-caption').textContent = `Best split of ${flops(budget)} FLOPs: N is ${counted[0]}, C is ${counted[1]}; `
    + `95 % intervals of the curve${methods.length ? ` (${methods.join('; ')})` : ''}; they do not cover a law that is wrong`;
}
