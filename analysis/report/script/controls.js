// The controls of the page: what is chosen now, and what was chosen before the page renewed itself.

const chosen = (id) => document.getElementById(id)?.value;
const isChecked = (id) => Boolean(document.getElementById(id)?.checked);

function shownArms(data) {
  const boxes = [...document.querySelectorAll('input[name="arm"]')];
  return data.arms.map((arm, index) => ({ ...arm, index })).filter((arm) => boxes[arm.index]?.checked);
}

// Value of every control by id, and the other way round.
function keepControls() {
  const kept = {};
  for (const control of document.querySelectorAll('#explore input, #explore select')) {
    kept[control.id] = control.type === 'checkbox' ? control.checked : control.value;
  }
  return kept;
}

function restoreControls(kept) {
  for (const [id, value] of Object.entries(kept)) {
    const control = document.getElementById(id);
    if (!control) continue;
    if (control.type === 'checkbox') control.checked = value;
    else if (control.tagName !== 'SELECT' || [...control.options].some((option) => option.value === value)) control.value = value;
  }
}

const labelOf = (data, role, column) => data.conventions[role].find((entry) => entry.column === column)?.label ?? column;

// One Plot per title, made again only when the titles change, so that focus stays where it is.
class Panels {
  constructor(host) {
    this.host = host;
    this.plots = new Map();
  }

  of(titles) {
    if (titles.join('\n') !== [...this.plots.keys()].join('\n')) {
      this.host.replaceChildren();
      this.plots = new Map(titles.map((title) => {
        const panel = element('div', { class: 'panel' });
        this.host.append(panel);
        return [title, new Plot(panel, title)];
      }));
    }
    return titles.map((title) => this.plots.get(title));
  }

  redraw() {
    for (const plot of this.plots.values()) plot.redraw();
  }
}
