// Stacked curves of the eight over time, in the colours and patterns of mien's timelines.
import { COLOURS, EMOTIONS } from "./emotions.js";

export const MINUTE = 60;
// Strokes over each colour, so that bands also differ without colour.
const PATTERNS = [[], ["dots"], [], ["falling"], ["rising", "falling"], ["upright"], ["rising"], ["level"]];
const LINES = { rising: [[-2, 2, 2, -2], [0, 8, 8, 0], [6, 10, 10, 6]], falling: [[-2, 6, 2, 10], [0, 0, 8, 8], [6, -2, 10, 2]], upright: [[4, 0, 4, 8]], level: [[0, 4, 8, 4]] };
const APART = 2.5;

const by = (id) => document.getElementById(id);
const probe = document.createElement("span");
document.body.append(probe);
function colour(name) { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; }

function bandText(shade) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(shade.slice(place, place + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 120 ? "#000" : "#fff";
}

function prepared(canvas) {
  const scale = devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}

function tile(emotion) {
  const scale = devicePixelRatio || 1;
  const canvas = Object.assign(document.createElement("canvas"), { width: 8 * scale, height: 8 * scale });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.fillStyle = COLOURS[emotion];
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = pen.fillStyle = bandText(COLOURS[emotion]) === "#000" ? "rgba(0,0,0,.32)" : "rgba(255,255,255,.42)";
  for (const kind of PATTERNS[emotion]) {
    pen.beginPath();
    if (kind === "dots") for (const [x, y] of [[2, 2], [6, 6]]) pen.rect(x - 0.8, y - 0.8, 1.6, 1.6);
    else for (const [x, y, u, v] of LINES[kind]) { pen.moveTo(x, y); pen.lineTo(u, v); }
    if (kind === "dots") pen.fill(); else pen.stroke();
  }
  return canvas;
}

const tiles = EMOTIONS.map((_, emotion) => tile(emotion));
function fills(pen) {
  return tiles.map((each) => {
    const pattern = pen.createPattern(each, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / (devicePixelRatio || 1)));
    return pattern;
  });
}

export function drawLegend() {
  for (const [emotion, name] of EMOTIONS.entries()) {
    const swatch = document.createElement("canvas"), item = document.createElement("li");
    item.append(swatch, name);
    by("legend").append(item);
    const { pen, width, height } = prepared(swatch);
    pen.fillStyle = fills(pen)[emotion];
    pen.fillRect(0, 0, width, height);
  }
}

// Points are put where a window's middle is, or, live, where it ends.
export class Curve {
  constructor() { this.reset({ from: -MINUTE, to: 0, live: true }); }

  reset({ from, to, live }) {
    Object.assign(this, { from, to, live, points: [], now: null });
    by("curve").classList.toggle("jumps", !live);
    this.draw();
  }

  add(time, answer) {
    const shares = { fused: answer.probabilities, audio: answer.audio.probabilities, video: answer.video.probabilities };
    this.points.push({ time, shares });
    if (this.live) {
      this.points = this.points.filter((point) => point.time > time - MINUTE - APART);
      [this.from, this.to] = [time - MINUTE, time];
    }
    this.draw();
  }

  x(time, width) { return (time - this.from) / (this.to - this.from) * width; }
  timeAt(share) { return this.from + share * (this.to - this.from); }

  runs(branch) {
    const found = [];
    let run = null, last = -Infinity;
    for (const { time, shares } of this.points) {
      if (!shares[branch]) { run = null; continue; }
      if (!run || time - last > APART) found.push(run = []);
      run.push({ time, shares: EMOTIONS.map((name) => shares[branch][name]) });
      last = time;
    }
    // One point alone would be a line of no width, and a clip's ends have no middle near them.
    if (!this.live && found.length) {
      const [first, final] = [found[0][0], found.at(-1).at(-1)];
      found[0].unshift({ ...first, time: Math.min(first.time, Math.max(this.from, first.time - APART)) });
      found.at(-1).push({ ...final, time: Math.max(final.time, Math.min(this.to, final.time + APART)) });
    }
    return found;
  }

  // Once a frame at most, whatever comes.
  draw() {
    this.asked ??= requestAnimationFrame(() => { this.asked = null; this.drawNow(); });
  }

  drawNow() {
    const branch = document.querySelector("input[name=branch]:checked").value;
    const { pen, width, height } = prepared(by("curve"));
    pen.fillStyle = colour("--shade");
    pen.fillRect(0, 0, width, height);
    const paints = fills(pen), edge = colour("--paper");
    const runs = this.runs(branch);
    for (const run of runs) this.drawRun(pen, run, width, height, paints, edge);
    if (this.now !== null) {
      pen.fillStyle = colour("--cursor");
      pen.fillRect(this.x(this.now, width) - 1, 0, 2, height);
    }
    by("curve").setAttribute("aria-label", this.summary(runs));
    this.drawAxis();
  }

  drawRun(pen, run, width, height, paints, edge) {
    const xs = run.map((point) => this.x(point.time, width));
    let below = run.map(() => height);
    EMOTIONS.forEach((_, emotion) => {
      const above = run.map((point, place) => below[place] - point.shares[emotion] * height);
      pen.beginPath();
      xs.forEach((x, place) => pen.lineTo(x, above[place]));
      for (let place = xs.length - 1; place >= 0; place -= 1) pen.lineTo(xs[place], below[place]);
      pen.closePath();
      pen.fillStyle = paints[emotion];
      pen.fill();
      pen.strokeStyle = edge;
      pen.stroke();
      below = above;
    });
    this.nameBands(pen, run, xs, height);
  }

  // The names of wide bands, in the bands themselves.
  nameBands(pen, run, xs, height) {
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    EMOTIONS.forEach((name, emotion) => {
      const middles = run.map(({ shares }, place) => {
        const sum = shares.slice(0, emotion).reduce((total, share) => total + share, 0);
        return { x: xs[place], y: height * (1 - sum - shares[emotion] / 2), tall: height * shares[emotion] };
      });
      const box = pen.measureText(name).width + 10;
      const fit = middles.filter(({ x, tall }) => tall > 20 && x - box / 2 > xs[0] && x + box / 2 < xs.at(-1));
      if (!fit.length) return;
      const { x, y } = fit.reduce((best, each) => (each.tall > best.tall + 1 ? each : best));
      pen.fillStyle = COLOURS[emotion];
      pen.beginPath();
      pen.roundRect(x - box / 2, y - 8, box, 16, 4);
      pen.fill();
      pen.fillStyle = bandText(COLOURS[emotion]);
      pen.fillText(name, x, y + 0.5);
    });
  }

  drawAxis() {
    const { pen, width, height } = prepared(by("axis"));
    const span = this.to - this.from;
    const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((each) => each >= span / Math.max(width / 90, 1)) ?? 600;
    pen.fillStyle = pen.strokeStyle = colour("--quiet");
    pen.font = "12px system-ui, sans-serif";
    for (let offset = 0; offset <= span + 1e-6; offset += step) {
      const x = this.live ? width - offset / span * width : offset / span * width;
      const text = this.live ? (offset ? `−${offset} s` : "now") : `${offset} s`;
      pen.fillRect(Math.min(Math.max(x, 0.5), width - 0.5), 0, 1, 6);
      pen.textAlign = x < 20 ? "left" : x > width - 20 ? "right" : "center";
      pen.fillText(text, x, height - 5);
    }
  }

  summary(runs) {
    const sums = EMOTIONS.map((_, emotion) => runs.flat().reduce((sum, point) => sum + point.shares[emotion], 0));
    if (!runs.length) return "Nothing yet";
    const most = EMOTIONS[sums.indexOf(Math.max(...sums))];
    return `${this.live ? "Probabilities over the last minute" : "Probabilities over the clip"}: most of all ${most}`;
  }
}
