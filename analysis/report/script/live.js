// While a sweep runs and this page is served: its cells, renewed every two seconds, and the report
// itself, put in place of the old one as soon as there is a new one.

const POLL_MILLISECONDS = 2000;

const describe = (cell) => Object.entries(cell.labels).map(([name, value]) => `${name}=${value}`).join(' ') || cell.run_id;

function row(...cells) {
  return element('tr', {}, ...cells.map((content, i) => (i ? element('td', {}, content) : element('th', { scope: 'row' }, content))));
}

function runningRow(cell) {
  const share = cell.train_tokens ? (cell.tokens ?? 0) / cell.train_tokens : 0;
  const bar = element('progress', { max: '1', value: String(share), 'aria-label': `${describe(cell)}: tokens` });
  const losses = Object.entries(cell.losses).map(([term, nats]) => `${term} ${nats.toFixed(3)}`).join(', ');
  const speed = cell.tokens_per_second;
  const left = speed && cell.train_tokens ? duration((cell.train_tokens - (cell.tokens ?? 0)) / speed) : '–';
  return row(describe(cell), element('span', {}, bar, ` ${(100 * share).toFixed(0)} %`), speed ? `${count(speed)}/s` : 'starting', left, losses || '–', cell.machine ?? '–');
}

function unmetRow(cell) {
  const log = element('span', {}, cell.last_log_line ?? '–');
  if (cell.has_log) log.append(' ', element('a', { href: `logs/${cell.run_id}` }, 'log'));
  return row(describe(cell), cell.state, cell.reason ?? '–', log);
}

function tableOf(heads, rows, more) {
  const body = element('tbody', {}, ...rows);
  const head = element('thead', {}, element('tr', {}, ...heads.map((words) => element('th', { scope: 'col' }, words))));
  const made = element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': heads.join(', ') }, element('table', {}, head, body));
  return more > 0 ? [made, element('p', { class: 'quiet' }, `and ${more} more`)] : [made];
}

function showStatus(status) {
  const counts = Object.entries(status.counts).sort().map(([state, n]) => `${n} ${state}`);
  const { seconds_left: left, tokens_per_second: speed } = status;
  const parts = [counts.join(', '), speed ? `${count(speed)} tokens/s` : '', left ? `${duration(left)} left` : ''];
  document.getElementById('live-headline').textContent = parts.filter(Boolean).join('; ') || 'no cells';
  const { running, unmet } = status;
  const body = document.getElementById('live-body');
  if (body.contains(document.activeElement)) return; // whoever reads a table by keyboard keeps it
  body.replaceChildren(
    ...(running.length ? tableOf(['running', 'tokens', 'speed', 'left', 'loss, nats', 'on'], running.map(runningRow), status.n_running - running.length) : []),
    ...(unmet.length ? tableOf(['without a result', 'state', 'why', 'last log line'], unmet.map(unmetRow), status.n_unmet - unmet.length) : []),
  );
}

function say(words) {
  const note = document.getElementById('live-note');
  if (note.textContent !== words) note.textContent = words;
}

// The new report in place of the old one; what was chosen, and where the reader stood, stays.
async function renewReport(start) {
  const answer = await fetch(location.pathname, { cache: 'no-cache' });
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const kept = keepControls();
  const at = scrollY;
  document.querySelector('header.top').replaceWith(page.querySelector('header.top'));
  for (const old of [...document.querySelectorAll('main > :not(#live)')]) old.remove();
  document.querySelector('main').append(...[...page.querySelector('main').children].filter((child) => child.id !== 'live'));
  document.querySelector('footer').replaceWith(page.querySelector('footer'));
  document.title = page.title;
  const data = page.getElementById('data');
  if (data) start(JSON.parse(data.textContent), kept);
  scrollTo(0, at);
}

function followSweep(start) {
  const where = document.documentElement.dataset.live;
  if (!where) return;
  document.getElementById('live').hidden = false;
  let report = document.documentElement.dataset.report;
  const look = async () => {
    try {
      if (!document.hidden) {
        const status = await (await fetch(where, { cache: 'no-cache' })).json();
        showStatus(status);
        say(status.report_note);
        if (status.report !== report) {
          await renewReport(start);
          report = status.report;
        }
        if (status.is_over && status.is_final) {
          say(`${status.report_note} The sweep is over; this page no longer renews itself.`);
          return;
        }
      }
    } catch (error) {
      say('The server does not answer; this is what it said last.');
    }
    setTimeout(look, POLL_MILLISECONDS);
  };
  look();
}
