// Starts the page: shows the controls, draws, and listens.

function start(data, kept) {
  const explore = document.getElementById('explore');
  if (!explore || !data) return;
  explore.hidden = false;
  for (const link of document.querySelectorAll('.needs-script')) link.hidden = false;
  if (kept) restoreControls(kept);
  const runs = new Panels(document.getElementById('runs-panels'));
  const profiles = new Panels(document.getElementById('profile-panels'));
  const draws = {
    runs: () => drawRuns(data, runs),
    profiles: () => drawProfiles(data, profiles, document.getElementById('profile-say')),
    calculator: () => calculate(data),
  };
  const all = () => Object.values(draws).forEach((draw) => draw());
  let waiting;
  const on = (event) => {
    const part = event.target.closest('[data-part]')?.dataset.part;
    clearTimeout(waiting);
    // A typed budget is worked out when the typing pauses.
    waiting = setTimeout(() => (part ? draws[part]() : all()), part === 'calculator' ? 200 : 0);
  };
  explore.addEventListener('input', on);
  explore.addEventListener('submit', (event) => {
    event.preventDefault();
    draws.calculator();
  });
  all();
  theme.onchange = () => [runs, profiles].forEach((panels) => panels.redraw());
}

const theme = matchMedia('(prefers-color-scheme: dark)');
const embedded = document.getElementById('data');
start(embedded && JSON.parse(embedded.textContent), null);
followSweep(start);
