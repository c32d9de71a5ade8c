// A chart with logarithmic axes: pointer and keyboard reach every run, zoom by drag, keys or buttons.

const HEIGHT = 330;
const NEAR_PIXELS = 24;
const HELP = 'Arrow keys go from run to run, plus and minus zoom, 0 shows all.';

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

class Plot {
  // host: an empty element; title: what the chart shows.
  constructor(host, title) {
    this.title = title;
    this.focused = null;
    this.tip = element('div', { class: 'tip', hidden: '' });
    this.readout = element('p', { class: 'readout', role: 'status' });
    this.frame = element('div', { class: 'plot', tabindex: '0', role: 'group', 'aria-label': `Chart: ${title}. ${HELP}` });
    const buttons = element('div', { class: 'buttons' });
    for (const [words, act] of [['Zoom in', () => this.zoom(0.6)], ['Zoom out', () => this.zoom(1 / 0.6)], ['Show all', () => this.reset()]]) {
      const button = element('button', { type: 'button' }, words);
      button.setAttribute('aria-label', `${words}: ${title}`);
      button.addEventListener('click', act);
      buttons.append(button);
    }
    this.keys = element('ul', { class: 'keys' });
    host.append(element('h4', {}, title), this.keys, this.frame, buttons, this.readout);
    this.frame.addEventListener('keydown', (event) => this.onKey(event));
    this.frame.addEventListener('blur', () => this.focusOn(null));
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  // content: { marks, lines, keys: [colour, words], x: {label, kind}, y: {label, kind} }
  show(content) {
    this.keys.replaceChildren(...content.keys.map(([name, words]) => {
      const swatch = element('span', { class: 'key' });
      swatch.style.background = `var(${name})`;
      return element('li', {}, swatch, words);
    }));
    this.content = content;
    this.focused = null;
    this.order = content.marks.map((_, i) => i).sort((a, b) => content.marks[a].x - content.marks[b].x || content.marks[a].y - content.marks[b].y);
    const values = (name) => content.marks.map((mark) => mark[name]).concat(...content.lines.map((line) => line[name]));
    this.whole = { x: paddedRange(values('x')), y: paddedRange(values('y')) };
    if (this.u) this.u.destroy();
    this.u = this.build();
    this.frame.append(this.tip);
    this.reset();
    this.focusOn(null);
  }

  build() {
    const scale = (name) => ({ time: false, distr: 3, auto: false, range: () => this.whole[name] });
    const options = {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      scales: { x: scale('x'), y: scale('y') },
      series: [{}, { show: false }],
      axes: [axis('x', this.content.x), axis('y', this.content.y)],
      cursor: {
        x: false,
        y: false,
        points: { show: false },
        drag: { x: true, y: true, uni: 12, dist: 6, setScale: true },
        bind: { dblclick: () => () => this.reset() },
      },
      hooks: { draw: [(u) => drawAll(u, this.content, this.focused)] },
    };
    const u = new uPlot(options, [this.whole.x, [null, null]], this.frame);
    u.over.addEventListener('pointermove', (event) => this.onPointer(event));
    u.over.addEventListener('pointerdown', (event) => this.onPointer(event));
    u.over.addEventListener('pointerleave', () => this.focusOn(null));
    return u;
  }

  width() {
    return Math.max(200, Math.floor(this.frame.clientWidth));
  }

  resize() {
    if (this.u && this.width() !== this.u.width) this.u.setSize({ width: this.width(), height: HEIGHT });
  }

  redraw() {
    if (this.u) this.u.redraw(false, true);
  }

  range(scales) {
    this.u.batch(() => {
      for (const name of ['x', 'y']) this.u.setScale(name, { min: scales[name][0], max: scales[name][1] });
    });
  }

  reset() {
    this.range(this.whole);
  }

  // By a factor about the focused run, or the middle.
  zoom(factor) {
    const scales = {};
    for (const name of ['x', 'y']) {
      const { min, max } = this.u.scales[name];
      const [low, high] = [Math.log(min), Math.log(max)];
      const centre = this.focused ? Math.log(this.focused[name]) : (low + high) / 2;
      scales[name] = [Math.exp(centre + (low - centre) * factor), Math.exp(centre + (high - centre) * factor)];
    }
    this.range(scales);
  }

  onPointer(event) {
    const box = this.u.over.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    let [nearest, least] = [null, NEAR_PIXELS ** 2];
    for (const mark of this.content.marks) {
      const away = (this.u.valToPos(mark.x, 'x') - at[0]) ** 2 + (this.u.valToPos(mark.y, 'y') - at[1]) ** 2;
      if (away < least) [nearest, least] = [mark, away];
    }
    if (nearest !== this.focused) this.focusOn(nearest);
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const acts = { '+': () => this.zoom(0.6), '=': () => this.zoom(0.6), '-': () => this.zoom(1 / 0.6), 0: () => this.reset(), Escape: () => this.focusOn(null) };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step || event.key === 'Home' || event.key === 'End') this.walk(step, event.key);
    else if (acts[event.key]) acts[event.key]();
    else return;
    event.preventDefault();
  }

  walk(step, key) {
    const last = this.order.length - 1;
    if (last < 0) return;
    const now = this.order.findIndex((i) => this.content.marks[i] === this.focused);
    let next = key === 'End' || (now < 0 && step < 0) ? last : 0;
    if (step && now >= 0) next = clip(now + step, 0, last);
    const mark = this.content.marks[this.order[next]];
    this.focusOn(mark);
    this.readout.textContent = mark.words.join(', ');
  }

  focusOn(mark) {
    this.focused = mark;
    if (!mark) this.readout.textContent = '';
    this.redraw();
    this.tip.hidden = !mark;
    if (!mark) return;
    this.tip.replaceChildren(...mark.words.map((line) => element('div', {}, line)));
    const { over } = this.u;
    const [x, y] = [this.u.valToPos(mark.x, 'x'), this.u.valToPos(mark.y, 'y')];
    const left = over.offsetLeft + clip(x, 0, over.clientWidth);
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${clip(left + (x > over.clientWidth / 2 ? -width - 14 : 14), 0, Math.max(0, this.frame.clientWidth - width))}px`;
    this.tip.style.top = `${clip(y - 10, 0, HEIGHT - this.tip.offsetHeight)}px`;
  }
}
