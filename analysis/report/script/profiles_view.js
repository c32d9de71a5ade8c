// One budget at a time: its isoFLOP profile, the minimum with its interval, or why there is none.

function profileEntries(data) {
  const [n, c, method] = [chosen('count-n'), chosen('count-c'), chosen('profile-method')];
  return shownArms(data).map((arm) => ({
    arm,
    entry: data.profiles.find((found) => found.arm === arm.index && found.n === n && found.c === c && found.method === method),
  })).filter(({ entry }) => entry);
}

// The budgets of all chosen arms; those within 2 % are one position of the slider.
function sliderBudgets(entries) {
  const all = entries.flatMap(({ entry }) => entry.budgets.map((budget) => budget.flops)).sort((a, b) => a - b);
  return all.filter((budget, i) => i === 0 || budget > all[i - 1] * 1.02);
}

const nearest = (budgets, flopsWanted) => budgets.reduce((best, budget) => (
  Math.abs(Math.log(budget.flops / flopsWanted)) < Math.abs(Math.log(best.flops / flopsWanted)) ? budget : best));

function profileSentence(budget, entry) {
  const at = `${flops(budget.flops)} FLOPs, ${budget.n.length} sizes`;
  if (!budget.best) return `${at}: no minimum: ${budget.reason ?? entry.reason}`;
  const { best } = budget;
  return `${at}: N* = ${count(best.n)} ${between(best.low, best.high, count)}, D* = ${count(best.tokens)} tokens, loss ${number(best.loss, 4)}`;
}

function profileContent(data, { arm, entry }, current) {
  const ramp = sizeColours(entry.budgets.map((budget) => budget.flops));
  const marks = [];
  const lines = [];
  for (const budget of entry.budgets) {
    const isCurrent = budget === current;
    const look = { colour: ramp.get(budget.flops), faint: !isCurrent };
    if (budget.curve) lines.push({ x: budget.curve[0], y: budget.curve[1], width: isCurrent ? 2 : 1, ...look });
    budget.n.forEach((n, i) => marks.push({
      x: n, y: budget.loss[i], shape: arm.marker, radius: isCurrent ? 4.5 : 3, hollow: !budget.best, ...look,
      words: [arm.name, `${flops(budget.flops)} FLOPs`, `N = ${count(n)}`, `loss ${number(budget.loss[i], 4)} ${arm.loss_unit}`],
    }));
    if (budget.best && isCurrent) {
      const { n, low, high, loss } = budget.best;
      if (low !== null && high !== null) lines.push({ x: [low, high], y: [loss, loss], colour: '--ink', width: 1.6 });
      marks.push({ x: n, y: loss, shape: '*', radius: 5, ...look, words: ['minimum', profileSentence(budget, entry)] });
    }
  }
  return {
    marks,
    lines,
    keys: rampKeys(ramp, (budget) => `${flops(budget)} FLOPs`),
    x: { label: labelOf(data, 'n', entry.n), kind: 'count' },
    y: { label: arm.loss_unit, kind: 'loss' },
  };
}

function drawProfiles(data, panels, say) {
  const entries = profileEntries(data);
  const budgets = sliderBudgets(entries);
  const slider = document.getElementById('profile-budget');
  slider.max = Math.max(0, budgets.length - 1);
  slider.disabled = budgets.length < 2;
  const at = Math.min(Number(slider.value), budgets.length - 1);
  const words = budgets.length ? `${flops(budgets[at])} FLOPs (${at + 1} of ${budgets.length})` : 'no budget';
  document.getElementById('profile-budget-value').textContent = words;
  slider.setAttribute('aria-valuetext', words);
  const current = entries.map(({ entry }) => (entry.budgets.length ? nearest(entry.budgets, budgets[at]) : null));
  panels.of(entries.map(({ arm }) => `${arm.name}: ${arm.loss_label}`))
    .forEach((plot, i) => plot.show(profileContent(data, entries[i], current[i])));
  say.replaceChildren(...entries.map(({ arm, entry }, i) => element('li', {}, [
    `${arm.name}: ${current[i] ? profileSentence(current[i], entry) : entry.reason}.`,
    entry.exponent ? `Over all budgets ${entry.exponent}.` : `No exponent: ${entry.reason}.`,
  ].join(' '))));
}
