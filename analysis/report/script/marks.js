// What is drawn inside a chart: points, lines and bands, in the colours of the page.

const SHAPES = {
  o: (ctx, x, y, r) => ctx.arc(x, y, r, 0, 2 * Math.PI),
  s: (ctx, x, y, r) => ctx.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
  '^': (ctx, x, y, r) => polygon(ctx, [[x, y - 1.2 * r], [x + 1.1 * r, y + 0.8 * r], [x - 1.1 * r, y + 0.8 * r]]),
  D: (ctx, x, y, r) => polygon(ctx, [[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]]),
  v: (ctx, x, y, r) => polygon(ctx, [[x, y + 1.2 * r], [x + 1.1 * r, y - 0.8 * r], [x - 1.1 * r, y - 0.8 * r]]),
  '*': (ctx, x, y, r) => polygon(ctx, Array.from({ length: 10 }, (_, k) => {
    const reach = (k % 2 ? 0.8 : 2) * r;
    return [x + reach * Math.sin((k * Math.PI) / 5), y - reach * Math.cos((k * Math.PI) / 5)];
  })),
};

function polygon(ctx, corners) {
  corners.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.closePath();
}

// mark: { x, y, colour, shape, radius, hollow, faint, words }
function drawPoint(u, mark, isFocused) {
  const [x, y] = [u.valToPos(mark.x, 'x', true), u.valToPos(mark.y, 'y', true)];
  const { ctx } = u;
  const radius = (mark.radius || 4) * devicePixelRatio * (isFocused ? 1.7 : 1);
  ctx.beginPath();
  SHAPES[mark.shape](ctx, x, y, radius);
  ctx.globalAlpha = mark.faint && !isFocused ? 0.35 : 1;
  ctx.fillStyle = colour(mark.hollow ? '--paper' : mark.colour);
  ctx.fill();
  ctx.lineWidth = (isFocused ? 2 : 1.2) * devicePixelRatio;
  ctx.strokeStyle = colour(isFocused || mark.shape === '*' ? '--ink' : mark.colour);
  ctx.stroke();
  ctx.globalAlpha = 1;
}

// line: { x: [], y: [], colour, width, dash, faint }
function drawLine(u, line) {
  const { ctx } = u;
  ctx.beginPath();
  let isDown = false;
  line.x.forEach((x, i) => {
    if (line.y[i] === null || line.y[i] === undefined || !(line.y[i] > 0) || !(x > 0)) {
      isDown = false;
      return;
    }
    const at = [u.valToPos(x, 'x', true), u.valToPos(line.y[i], 'y', true)];
    if (isDown) ctx.lineTo(...at);
    else ctx.moveTo(...at);
    isDown = true;
  });
  ctx.globalAlpha = line.faint ? 0.35 : 1;
  ctx.lineWidth = (line.width || 1.4) * devicePixelRatio;
  ctx.setLineDash((line.dash || []).map((length) => length * devicePixelRatio));
  ctx.strokeStyle = colour(line.colour);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

function drawAll(u, content, focused) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const line of content.lines) drawLine(u, line);
  for (const mark of content.marks) drawPoint(u, mark, false);
  if (focused) drawPoint(u, focused, true);
  ctx.restore();
}
