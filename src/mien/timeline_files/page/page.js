"use strict";
const data = JSON.parse(document.getElementById("timeline").textContent);
const [START, END, PERSON, EMOTION, FUSED, AUDIO, VIDEO, SPEECH, REASON] = Array(9).keys();
const BRANCH = { fused: FUSED, audio: AUDIO, video: VIDEO };
// Strokes over each colour, so that bands also differ without colour: angle in quarter turns.
const PATTERNS = [[], ["dots"], [], ["falling"], ["rising", "falling"], ["upright"], ["rising"], ["level"]];
const RIBBON = 20;
const SMALLEST_VIEW = 10;

const by = (id) => document.getElementById(id);
const video = by("video"), lanes = by("lanes"), cursor = by("cursor");
const lengthOfRows = data.rows.reduce((most, row) => Math.max(most, row[END]), 0);
const state = { now: 0, from: 0, to: 1, duration: Math.max(lengthOfRows, 0.1), branch: "fused", playing: false };

function clamp(value, low, high) { return Math.min(Math.max(value, low), high); }
function percent(share) { return `${Math.round(100 * share)} %`; }
function make(tag, options = {}, children = []) {
  const element = Object.assign(document.createElement(tag), options);
  element.append(...children);
  return element;
}
function clock(seconds, digits = 1) {
  const tenths = Math.floor(seconds * 10 ** digits + 1e-6) / 10 ** digits;
  const whole = Math.floor(tenths);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = (tenths - 60 * Math.floor(whole / 60)).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
function bandText(colour) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 120 ? "#000" : "#fff";
}

// The rows, by person; each speaks for the time that is nearest to its middle.
function middle(row) { return (row[START] + row[END]) / 2; }
const starts = [...new Set(data.rows.map((row) => row[START]))].sort((a, b) => a - b);
const spans = new Map();
{
  const ends = new Map(data.rows.map((row) => [row[START], row[END]]));
  let since = starts[0];
  starts.forEach((start, place) => {
    const next = starts[place + 1];
    const meets = next !== undefined && next <= ends.get(start);
    const until = meets ? (start + ends.get(start) + next + ends.get(next)) / 4 : ends.get(start);
    spans.set(start, [since, until]);
    since = meets ? until : next;
  });
}
const people = [...new Set(data.rows.map((row) => row[PERSON]))].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
const tracks = people.map((person) => ({
  person,
  name: person === null ? "No face, only the voice" : `Person ${person}`,
  rows: data.rows.filter((row) => row[PERSON] === person),
}));
function rowAt(rows, time) {
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1;
    if (spans.get(rows[half][START])[0] <= time) low = half; else high = half - 1;
  }
  const row = rows[low];
  if (!row) return null;
  const [since, until] = spans.get(row[START]);
  const last = row[END] >= lengthOfRows;
  return time >= since && (time < until || (last && time <= state.duration)) ? row : null;
}

// Drawing.
function prepared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}
function strokes(pen, kind) {
  const lines = { rising: [[-2, 2, 2, -2], [0, 8, 8, 0], [6, 10, 10, 6]], falling: [[-2, 6, 2, 10], [0, 0, 8, 8], [6, -2, 10, 2]], upright: [[4, 0, 4, 8]], level: [[0, 4, 8, 4]] };
  if (kind === "dots") {
    pen.beginPath();
    for (const [x, y] of [[2, 2], [6, 6]]) pen.rect(x - 0.8, y - 0.8, 1.6, 1.6);
    pen.fill();
    return;
  }
  pen.beginPath();
  for (const [x, y, u, v] of lines[kind]) { pen.moveTo(x, y); pen.lineTo(u, v); }
  pen.stroke();
}
function tile(emotion) {
  const scale = window.devicePixelRatio || 1;
  const canvas = make("canvas", { width: 8 * scale, height: 8 * scale });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.fillStyle = data.colours[emotion];
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = pen.fillStyle = bandText(data.colours[emotion]) === "#000" ? "rgba(0,0,0,.32)" : "rgba(255,255,255,.42)";
  pen.lineWidth = 1;
  for (const kind of PATTERNS[emotion]) strokes(pen, kind);
  return canvas;
}
function fills(pen) {
  const scale = window.devicePixelRatio || 1;
  return data.emotions.map((_, emotion) => {
    const pattern = pen.createPattern(tile(emotion), "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / scale));
    return pattern;
  });
}
function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name); }
const probe = make("span");
document.body.append(probe);
function colour(name) { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; }
function xOf(time, width) { return (time - state.from) / (state.to - state.from) * width; }

// Points of the curves, runs apart where there is no answer; many in one pixel become their mean.
function runs(rows, width) {
  const place = BRANCH[state.branch];
  const step = (state.to - state.from) / Math.max(width / 2, 1);
  const found = [];
  let run = null, bin = null;
  const flush = () => {
    if (bin) run.points.push({ time: bin.time / bin.count, shares: bin.sums.map((sum) => sum / bin.count) });
    bin = null;
  };
  for (const row of rows) {
    const [since, until] = spans.get(row[START]);
    if (until < state.from - 2 * data.window_s || since > state.to + 2 * data.window_s) continue;
    const shares = row[place];
    if (!shares || (run && since > run.until + 1e-6)) {
      flush();
      run = null;
      if (!shares) continue;
    }
    if (!run) { run = { since, until, points: [] }; found.push(run); }
    run.until = until;
    const time = clamp(middle(row), since, until);
    const number = Math.floor(time / step);
    if (bin && bin.number !== number) flush();
    bin ??= { number, time: 0, count: 0, sums: Array(data.emotions.length).fill(0) };
    bin.time += time;
    bin.count += 1;
    shares.forEach((share, emotion) => { bin.sums[emotion] += share; });
  }
  flush();
  for (const each of found) {
    const { points } = each;
    points.unshift({ time: each.since, shares: points[0].shares });
    points.push({ time: each.until, shares: points.at(-1).shares });
  }
  return found;
}
function drawBands(pen, run, width, height, paints) {
  const xs = run.points.map((point) => xOf(point.time, width));
  const below = run.points.map(() => height);
  data.emotions.forEach((name, emotion) => {
    const above = run.points.map((point, place) => below[place] - point.shares[emotion] * height);
    pen.beginPath();
    xs.forEach((x, place) => pen.lineTo(x, above[place]));
    for (let place = xs.length - 1; place >= 0; place -= 1) pen.lineTo(xs[place], below[place]);
    pen.closePath();
    pen.fillStyle = paints[emotion];
    pen.fill();
    pen.beginPath();
    xs.forEach((x, place) => pen.lineTo(x, above[place]));
    pen.strokeStyle = paints.edge;
    pen.lineWidth = 1;
    pen.stroke();
    above.forEach((y, place) => { below[place] = y; });
  });
}
function between(points, time) {
  let place = points.findIndex((point) => point.time >= time);
  if (place <= 0) return points[place === 0 ? 0 : points.length - 1].shares;
  const [a, b] = [points[place - 1], points[place]];
  const weight = b.time > a.time ? (time - a.time) / (b.time - a.time) : 0;
  return a.shares.map((share, emotion) => share + weight * (b.shares[emotion] - share));
}
function bandAt(run, x, emotion, width, height) {
  const shares = between(run.points, state.from + x / width * (state.to - state.from));
  const below = shares.slice(0, emotion).reduce((sum, share) => sum + share, 0);
  return [height - below * height, height - (below + shares[emotion]) * height];
}
function thickest(run, from, to, emotion, width, height) {
  const places = Array.from({ length: 9 }, (_, place) => from + (to - from) * (place + 0.5) / 9);
  const found = places.map((x) => ({ x, band: bandAt(run, x, emotion, width, height) }));
  return found.reduce((best, each) => each.band[0] - each.band[1] > best.band[0] - best.band[1] + 0.5 ? each : best);
}
// The names of wide bands, in the bands themselves.
function nameBands(pen, run, width, height) {
  const [left, right] = [Math.max(0, xOf(run.since, width)), Math.min(width, xOf(run.until, width))];
  const pieces = Math.max(1, Math.round((right - left) / 170));
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let piece = 0; piece < pieces; piece += 1) {
    const [from, to] = [piece, piece + 1].map((each) => left + (right - left) * each / pieces);
    data.emotions.forEach((name, emotion) => {
      const box = pen.measureText(name).width + 10;
      const { x, band: [low, high] } = thickest(run, from + box / 2, to - box / 2, emotion, width, height);
      const y = (low + high) / 2;
      const inside = [x - box / 2, x + box / 2].every((side) => {
        const [below, above] = bandAt(run, side, emotion, width, height);
        return below >= y + 5 && above <= y - 5;
      });
      if (low - high < 19 || !inside || box > to - from) return;
      pen.fillStyle = data.colours[emotion];
      pen.beginPath();
      pen.roundRect(x - box / 2, y - 8, box, 16, 4);
      pen.fill();
      pen.fillStyle = bandText(data.colours[emotion]);
      pen.fillText(name, x, y + 0.5);
    });
  }
}
function drawRibbon(pen, rows, width, top, height, paints) {
  let block = null;
  const blocks = [];
  for (const row of rows) {
    const [since, until] = spans.get(row[START]);
    if (block && block.emotion === row[EMOTION] && since <= block.until + 1e-6) block.until = until;
    else if (row[EMOTION] !== null) blocks.push(block = { emotion: row[EMOTION], since, until });
    else block = null;
  }
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (const { emotion, since, until } of blocks) {
    const [left, right] = [Math.max(xOf(since, width), -4), Math.min(xOf(until, width), width + 4)];
    if (right < 0 || left > width) continue;
    pen.fillStyle = paints[emotion];
    pen.fillRect(left, top, Math.max(right - left - 1, 1), height);
    const name = data.emotions[emotion];
    const box = pen.measureText(name).width;
    if (box + 12 > right - Math.max(left, 0)) continue;
    pen.fillStyle = data.colours[emotion];
    pen.fillRect(Math.max(left, 0) + 2, top + 1, box + 8, height - 2);
    pen.fillStyle = bandText(data.colours[emotion]);
    pen.fillText(name, Math.max(left, 0) + 6, top + height / 2 + 0.5);
  }
}
function drawTrack(track) {
  const { pen, width, height } = prepared(track.canvas);
  const tall = height - RIBBON - 3;
  const paints = fills(pen);
  paints.edge = colour("--paper");
  pen.fillStyle = colour("--shade");
  pen.fillRect(0, 0, width, tall);
  const found = runs(track.rows, width);
  for (const run of found) drawBands(pen, run, width, tall, paints);
  for (const run of found) nameBands(pen, run, width, tall);
  drawRibbon(pen, track.rows, width, tall + 3, RIBBON, paints);
}
function drawSpeech(canvas) {
  const { pen, width, height } = prepared(canvas);
  pen.fillStyle = colour("--shade");
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = colour("--accent");
  for (const row of speechRows) {
    const [since, until] = spans.get(row[START]);
    const [left, right] = [xOf(since, width), xOf(until, width)];
    if (right < 0 || left > width) continue;
    const tall = row[SPEECH] * (height - 2);
    pen.fillRect(left, height - tall, Math.max(right - left, 0.5) + 0.3, tall);
  }
}
function drawAxis() {
  const { pen, width, height } = prepared(by("axis"));
  const ideal = (state.to - state.from) / Math.max(width / 90, 1);
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((each) => each >= ideal) ?? 14400;
  pen.fillStyle = pen.strokeStyle = colour("--quiet");
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (let time = Math.ceil(state.from / step) * step; time <= state.to + 1e-6; time += step) {
    const x = clamp(xOf(time, width), 0.5, width - 0.5);
    pen.beginPath();
    pen.moveTo(x, height - 6);
    pen.lineTo(x, height);
    pen.stroke();
    pen.textAlign = x < 20 ? "left" : x > width - 20 ? "right" : "center";
    pen.fillText(clock(time, step < 1 ? 1 : 0), x, height / 2 - 2);
  }
}
function drawAll() {
  drawAxis();
  tracks.forEach(drawTrack);
  if (speechCanvas) drawSpeech(speechCanvas);
  showNow();
}

// The lanes.
function lane(title, note, kind) {
  const canvas = make("canvas", { className: "curves" });
  const heading = make("h3", { textContent: title }, note ? [make("small", { textContent: note })] : []);
  lanes.insertBefore(make("div", { className: `lane ${kind}` }, [heading, canvas]), cursor);
  return canvas;
}
function summary(rows) {
  const counts = Array(data.emotions.length).fill(0);
  let answered = 0, whole = 0;
  for (const row of rows) {
    const [since, until] = spans.get(row[START]);
    whole += until - since;
    if (row[EMOTION] !== null) { counts[row[EMOTION]] += until - since; answered += until - since; }
  }
  if (!answered) return `${clock(whole, 0)} without an answer`;
  const most = counts.indexOf(Math.max(...counts));
  const sensed = rows[0][PERSON] === null ? "heard" : "seen";
  return `${sensed} for ${clock(whole, 0)}, most often ${data.emotions[most]} (${percent(counts[most] / answered)})`;
}
for (const track of tracks) track.canvas = lane(track.name, summary(track.rows), "person");
const firstRows = new Map();
for (const row of data.rows) if (!firstRows.has(row[START])) firstRows.set(row[START], row);
const speechRows = starts.map((start) => firstRows.get(start)).filter((row) => row[SPEECH] !== null);
const speechCanvas = speechRows.length ? lane("Speech", "share of the time in which somebody speaks", "speech") : null;

for (const [emotion, name] of data.emotions.entries()) {
  const swatch = make("canvas");
  by("legend").append(make("li", {}, [swatch, name]));
  requestAnimationFrame(() => {
    const { pen, width, height } = prepared(swatch);
    pen.fillStyle = fills(pen)[emotion];
    pen.fillRect(0, 0, width, height);
  });
}

// What is expressed now.
for (const track of tracks) {
  const told = make("span"), reason = make("p", { className: "reason" }), bars = make("dl", { className: "bars" });
  track.bars = data.emotions.map((name, emotion) => {
    const fill = make("i"), term = make("dt", { textContent: name }), share = make("dd", { className: "share" });
    fill.style.background = data.colours[emotion];
    bars.append(term, make("dd", { className: "bar" }, [fill]), share);
    return { fill, term, share };
  });
  track.card = make("article", { className: "card" }, [make("h2", {}, [make("b", { textContent: track.name }), told]), bars, reason]);
  Object.assign(track, { told, reason, list: bars });
  by("cards").append(track.card);
}
function headline(row) {
  if (!row) return "not in the picture now";
  if (!row[FUSED]) return "no answer";
  const best = Math.max(...row[FUSED]);
  const name = data.emotions[row[FUSED].indexOf(best)];
  return row[EMOTION] === null ? `not sure: ${name} ${percent(best)}` : `${name} ${percent(best)}`;
}
function showCard(track) {
  const row = rowAt(track.rows, state.now);
  if (row === track.shown && state.branch === track.shownBranch) return;
  track.shown = row;
  track.shownBranch = state.branch;
  track.told.textContent = row || track.person !== null ? headline(row) : "a face is in the picture now";
  track.card.classList.toggle("absent", !row);
  const shares = row && row[BRANCH[state.branch]];
  const best = shares ? Math.max(...shares) : null;
  track.list.hidden = !shares;
  track.reason.textContent = (row && row[REASON]) || "";
  track.reason.hidden = !track.reason.textContent;
  track.bars.forEach(({ fill, term, share }, emotion) => {
    const value = shares ? shares[emotion] : 0;
    fill.style.transform = `scaleX(${value})`;
    share.textContent = shares ? percent(value) : "";
    for (const each of [term, share]) each.classList.toggle("first", shares !== null && value === best);
  });
}
function showNow() {
  const width = lanes.clientWidth;
  const x = xOf(state.now, width);
  cursor.style.transform = `translateX(${clamp(x, 0, width)}px)`;
  cursor.hidden = x < -1 || x > width + 1;
  by("clock").textContent = clock(state.now);
  const spoken = speechRows.length ? rowAt(speechRows, state.now) : null;
  by("spoken").textContent = `of ${clock(state.duration)}` + (spoken ? `, speech ${percent(spoken[SPEECH])}` : "");
  tracks.forEach(showCard);
  const told = tracks.map((track) => [track, rowAt(track.rows, state.now)]).filter(([, row]) => row);
  lanes.setAttribute("aria-valuenow", state.now.toFixed(1));
  lanes.setAttribute("aria-valuetext", [clock(state.now), ...told.map(([track, row]) => `${track.name}: ${headline(row)}`)].join(", "));
}

// Moving through time.
function view(from, length) {
  const span = clamp(length, Math.min(SMALLEST_VIEW, state.duration), state.duration);
  state.from = clamp(from, 0, state.duration - span);
  state.to = state.from + span;
  by("out").disabled = by("whole").disabled = span >= state.duration;
  by("in").disabled = span <= SMALLEST_VIEW || span <= Math.min(SMALLEST_VIEW, state.duration);
  drawAll();
}
function zoom(factor) {
  const span = (state.to - state.from) * factor;
  view(state.now - span / 2, span);
}
function follow() {
  const span = state.to - state.from;
  if (state.now < state.from || state.now > state.to) view(state.now - span / 10, span);
}
function moveTo(time) {
  state.now = clamp(time, 0, state.duration);
  follow();
  showNow();
}
function jump(time) {
  moveTo(time);
  if (video.readyState > 0) video.currentTime = state.now;
}
function timeAt(event) {
  const { left, width } = lanes.getBoundingClientRect();
  return state.from + clamp((event.clientX - left) / width, 0, 1) * (state.to - state.from);
}
function togglePlay() {
  if (video.readyState === 0) return;
  if (video.paused) video.play(); else video.pause();
}
lanes.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  lanes.setPointerCapture(event.pointerId);
  state.dragging = true;
  jump(timeAt(event));
});
lanes.addEventListener("pointermove", (event) => { if (state.dragging) jump(timeAt(event)); });
for (const name of ["pointerup", "pointercancel"]) lanes.addEventListener(name, () => { state.dragging = false; });
lanes.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const page = (state.to - state.from) / 10;
  const moves = {
    ArrowLeft: -data.hop_s, ArrowDown: -data.hop_s, ArrowRight: data.hop_s, ArrowUp: data.hop_s,
    PageUp: page, PageDown: -page, Home: -Infinity, End: Infinity,
  };
  const others = { " ": togglePlay, "+": () => zoom(1 / 2), "=": () => zoom(1 / 2), "-": () => zoom(2) };
  if (event.key in moves) jump(state.now + moves[event.key]);
  else if (event.key in others) others[event.key]();
  else return;
  event.preventDefault();
});
by("in").addEventListener("click", () => zoom(1 / 2));
by("out").addEventListener("click", () => zoom(2));
by("whole").addEventListener("click", () => view(0, state.duration));
by("branches").addEventListener("change", (event) => { state.branch = event.target.value; drawAll(); });

// The video.
function tick() {
  if (video.paused || video.ended) return;
  moveTo(video.currentTime);
  requestAnimationFrame(tick);
}
video.addEventListener("play", () => requestAnimationFrame(tick));
for (const name of ["timeupdate", "seeked"]) video.addEventListener(name, () => { if (!state.dragging) moveTo(video.currentTime); });
video.addEventListener("loadedmetadata", () => {
  by("missing").hidden = true;
  video.hidden = false;
  video.parentElement.classList.remove("lost");
  video.parentElement.classList.toggle("sound", video.videoWidth === 0);
  // Faces were found in a picture that this browser does not show.
  by("unseen").hidden = video.videoWidth > 0 || people.every((person) => person === null);
  if (Number.isFinite(video.duration)) state.duration = Math.max(lengthOfRows, video.duration);
  lanes.setAttribute("aria-valuemax", state.duration.toFixed(1));
  if (state.now > 0) video.currentTime = state.now;
  view(0, state.duration);
});
video.addEventListener("error", () => {
  by("missing").hidden = false;
  by("unseen").hidden = true;
  video.hidden = true;
  video.parentElement.classList.add("lost");
});
by("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (!file) return;
  if (video.src.startsWith("blob:")) URL.revokeObjectURL(video.src);
  video.src = URL.createObjectURL(file);
});
// It may have failed before this script ran.
if (video.error || video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) video.dispatchEvent(new Event("error"));

lanes.setAttribute("aria-valuemax", state.duration.toFixed(1));
let resizing = 0;
new ResizeObserver(() => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(drawAll); }).observe(lanes);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
view(0, state.duration);
