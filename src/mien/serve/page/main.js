// The page: what was asked for, what is shown, what is saved.
import { clear, probability, say, show } from "./answer.js";
import { Recording, read } from "./clip.js";
import { Curve, drawLegend, MINUTE } from "./curve.js";
import { COLOURS, EMOTIONS } from "./emotions.js";
import { Live } from "./live.js";
import { csv, save } from "./rows.js";
import { ask, Problem, useToken } from "./service.js";

const INVITATIONS = {
  live: "See what your face and voice express while you speak. Your browser will ask whether this page may use camera and microphone.",
  clip: "Drop a video, a sound or a picture here, choose one, or record yourself.",
};
const MOST_ANSWERS = 36_000;
const NEAR_S = 0.3;

const by = (id) => document.getElementById(id);
const screen = by("screen"), video = by("video"), boxes = by("boxes");
const curve = new Curve();
const state = { live: null, recording: null, reading: null, turn: null, answers: [], windows: [], seen: [], size: null, newest: null, name: "live", limit: 0, url: null };

function tell(error) {
  by("alert").hidden = false;
  const name = document.createElement("strong");
  name.textContent = error.type ?? error.name;
  by("alert").replaceChildren(name, ` ${error.message}`);
  if (error.status === 401 || error.type === "NotAuthorised") {
    by("entry").hidden = false;
    by("token").focus();
  }
}
function quieten() { by("alert").hidden = true; }

function keep(answer) {
  state.answers.push(answer);
  if (state.answers.length > MOST_ANSWERS) state.answers.shift();
  by("csv").disabled = by("json").disabled = false;
}
function forget(name) {
  Object.assign(state, { answers: [], windows: [], seen: [], size: null, name });
  by("csv").disabled = by("json").disabled = true;
  drawBoxes();
}

// Boxes on the picture.
function drawBoxes() {
  const scale = devicePixelRatio || 1;
  const { clientWidth: wide, clientHeight: high } = video;
  Object.assign(boxes, { width: wide * scale, height: high * scale });
  Object.assign(boxes.style, { width: `${wide}px`, height: `${high}px`, left: `${video.offsetLeft}px`, top: `${video.offsetTop}px` });
  if (!state.size || !state.seen.length) return;
  const [width, height] = state.size;
  const ratio = Math.min(wide / width, high / height);
  const [left, top] = [(wide - width * ratio) / 2, (high - height * ratio) / 2];
  const pen = boxes.getContext("2d");
  pen.scale(scale, scale);
  const mirrored = screen.classList.contains("mirrored");
  for (const { box: [x, y, w, h], text, emotion } of state.seen) {
    const begin = mirrored ? width - x - w : x;
    drawBox(pen, [left + begin * ratio, top + y * ratio, w * ratio, h * ratio], text, emotion, wide);
  }
}
function drawBox(pen, [x, y, w, h], text, emotion, wide) {
  const colour = COLOURS[EMOTIONS.indexOf(emotion)] ?? "#fff";
  for (const [stroke, thick] of [["rgba(0,0,0,.7)", 5], [colour, 3]]) {
    Object.assign(pen, { strokeStyle: stroke, lineWidth: thick });
    pen.strokeRect(x, y, w, h);
  }
  if (!text) return;
  pen.font = "600 14px system-ui, sans-serif";
  const box = pen.measureText(text).width + 12;
  const [from, above] = [Math.max(0, Math.min(x - 2, wide - box)), Math.max(0, y - 25)];
  pen.fillStyle = "rgba(0,0,0,.75)";
  pen.fillRect(from, above, box, 22);
  pen.fillStyle = "#fff";
  pen.fillText(text, from + 6, above + 16);
}

// Live.
function whoIsInView({ in_view: seen, person }) {
  if (!seen.length) return "Nobody is in view.";
  if (seen.length === 1) return `Person ${seen[0].person} is in view.`;
  return `${seen.length} people are in view; this is about Person ${person}, whose face is the largest.`;
}
function seconds(value) { return `${Math.max(0, value).toFixed(1)} s`; }
function ageOf({ newest }, now) {
  const parts = [["picture", newest.frame_s], ["sound", newest.sound_s]].filter(([, time]) => time !== null);
  return parts.length ? `Rests on ${parts.map(([name, time]) => `a ${name} ${seconds(now - time)} old`).join(" and ")}.` : "";
}
function label({ person, emotion, confidence }, many) {
  const who = many ? `Person ${person}` : "";
  const what = emotion ? `${emotion} ${probability(confidence)}` : "";
  return [who, what].filter(Boolean).join(": ");
}
function onAnswer(answer) {
  keep(answer);
  curve.add(answer.end_s, answer);
  // A machine that draws slowly shows fewer answers, never old ones.
  if (!state.newest) setTimeout(showNewest);
  state.newest = answer;
}
function showNewest() {
  const answer = state.newest;
  state.newest = null;
  if (!state.live || !answer) return;
  show(answer, { view: whoIsInView(answer), age: ageOf(answer, performance.now() / 1000), live: true });
  state.size = answer.picture_size;
  state.seen = answer.in_view.map((each) => ({ ...each, text: label(each, answer.in_view.length > 1) }));
  drawBoxes();
}
function onEnd(problem) {
  state.live = null;
  state.seen = [];
  drawBoxes();
  const focused = document.activeElement === by("stop");
  by("start").hidden = false;
  by("stop").hidden = by("badge").hidden = true;
  if (focused) by("start").focus();
  screen.classList.add("empty");
  screen.classList.remove("mirrored");
  if (problem) tell(problem);
  else say("Camera and microphone are off.");
}
async function startLive() {
  quieten();
  await endAll();
  forget("live");
  clear("Getting ready …");
  curve.reset({ from: -MINUTE, to: 0, live: true });
  const live = state.live = new Live(video, { onAnswer, onEnd });
  by("start").hidden = true;
  by("stop").hidden = false;
  by("stop").focus();
  screen.classList.remove("empty", "sound");
  screen.classList.add("mirrored");
  Object.assign(by("badge"), { hidden: false, textContent: "live" });
  video.controls = false;
  try {
    await live.start();
  } catch (error) {
    live.stop(error);
    clear("No answer yet");
  }
}

// Clips.
async function readClip(file, name) {
  quieten();
  const turn = state.turn = {};
  await endAll();
  if (state.turn !== turn) return;
  choose("clip");
  forget(name.replace(/\.\w+$/, ""));
  clear(`Reading ${name} …`);
  say(`Reading ${name}`);
  curve.reset({ from: 0, to: 1, live: false });
  showClip(file);
  const reading = state.reading = new AbortController();
  try {
    for await (const { whole, window } of read(file, name, { limit: state.limit, signal: reading.signal })) {
      if (whole) showWhole(whole);
      else showWindow(window);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!state.answers.length) clear("No answer");
    tell(error);
  }
}
function showClip(file) {
  if (state.url) URL.revokeObjectURL(state.url);
  state.url = URL.createObjectURL(file);
  screen.classList.remove("empty", "mirrored");
  Object.assign(video, { srcObject: null, src: state.url, controls: true, muted: false });
}
function showWhole(answer) {
  keep(answer);
  show(answer, { view: `${answer.clip}, ${seconds(answer.duration_s)}: the whole clip.` });
  curve.reset({ from: 0, to: Math.max(answer.duration_s, 0.1), live: false });
}
function showWindow(window) {
  // The table is of windows, as mien timeline's; the whole clip's answer stands in the page.
  if (!state.windows.length) state.answers = [];
  keep(window);
  state.windows.push(window);
  curve.add((window.start_s + window.end_s) / 2, window);
  follow();
}
function follow() {
  if (!state.windows.length) return;
  const time = video.currentTime;
  curve.now = time;
  curve.draw();
  const sightings = state.windows.flatMap((window) => (window.sightings ?? []).map((each) => ({ ...each, window })));
  const near = sightings.filter((each) => Math.abs(each.time_s - time) < NEAR_S).sort((a, b) => Math.abs(a.time_s - time) - Math.abs(b.time_s - time))[0];
  state.size = [video.videoWidth, video.videoHeight];
  state.seen = near ? [{ box: [near.box.x, near.box.y, near.box.width, near.box.height], emotion: near.window.emotion, text: label(near.window, false) }] : [];
  drawBoxes();
}
async function record() {
  if (state.recording) { state.recording.stop(); return; }
  quieten();
  await endAll();
  const recording = state.recording = new Recording();
  try {
    await recording.start(video);
  } catch (error) {
    if (state.recording === recording) state.recording = null;
    tell(error);
    return;
  }
  if (recording.ended) {
    if (state.recording === recording) state.recording = null;
    return;
  }
  forget("recording");
  clear("Recording …");
  by("record").textContent = "Stop and read it";
  screen.classList.remove("empty", "sound");
  screen.classList.add("mirrored");
  video.controls = false;
  Object.assign(by("badge"), { hidden: false, textContent: "recording" });
  say("Recording");
  const file = await recording.file;
  // Something else was asked for meanwhile.
  const abandoned = state.recording !== recording;
  if (!abandoned) state.recording = null;
  by("record").textContent = "Record one";
  if (abandoned) return;
  by("badge").hidden = true;
  if (file.size) await readClip(file, "recording.webm");
}

async function endAll() {
  state.live?.stop();
  state.reading?.abort();
  const recording = state.recording;
  if (!recording) return;
  state.recording = null;
  by("badge").hidden = true;
  await recording.stop();
}

// Choices.
function choose(mode) {
  document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
  by("live-actions").hidden = mode !== "live";
  by("clip-actions").hidden = mode !== "clip";
  by("invitation").textContent = INVITATIONS[mode];
  by("curve-title").textContent = mode === "live" ? "The last minute" : "The clip, window by window";
}
by("modes").addEventListener("change", async (event) => {
  await endAll();
  quieten();
  choose(event.target.value);
  forget(event.target.value);
  clear("No answer yet");
  screen.classList.add("empty");
  video.removeAttribute("src");
  video.load();
  curve.reset(event.target.value === "live" ? { from: -MINUTE, to: 0, live: true } : { from: 0, to: MINUTE, live: false });
});
by("branches").addEventListener("change", () => curve.draw());
by("start").addEventListener("click", startLive);
by("stop").addEventListener("click", () => state.live?.stop());
by("record").addEventListener("click", record);
by("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) readClip(file, file.name);
  target.value = "";
});
for (const name of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    screen.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) readClip(event.dataTransfer.files[0], event.dataTransfer.files[0].name);
  });
}
by("csv").addEventListener("click", () => save(`mien-${state.name}.csv`, "text/csv", csv(state.answers)));
by("json").addEventListener("click", () => save(`mien-${state.name}.json`, "application/json", JSON.stringify(state.answers, null, 1)));
by("curve").addEventListener("click", (event) => {
  if (curve.live || !Number.isFinite(video.duration)) return;
  const { left, width } = by("curve").getBoundingClientRect();
  video.currentTime = curve.timeAt((event.clientX - left) / width);
});
for (const name of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(name, () => { if (!video.srcObject) follow(); });
video.addEventListener("error", () => { if (!video.srcObject) screen.classList.add("empty"); });
video.addEventListener("loadedmetadata", () => screen.classList.toggle("sound", video.videoWidth === 0 && !video.srcObject));
by("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(by("token").value.trim());
  by("entry").hidden = true;
  quieten();
  greet();
});
new ResizeObserver(() => { curve.draw(); drawBoxes(); }).observe(screen);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => curve.draw());
addEventListener("pagehide", () => { state.live?.stop(); });

async function greet() {
  try {
    const bundle = await (await ask("/v1/bundle")).json();
    state.limit = bundle.max_upload;
    by("about").textContent = `mien ${bundle.version}, bundle ${bundle.name}. Clips up to ${bundle.max_upload / 1e6} MB and ${bundle.max_seconds} s.`;
  } catch (error) {
    tell(error instanceof Problem ? error : new Problem("Error", String(error)));
  }
}
if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
  by("privacy").textContent = `What you show goes to ${location.host} and nowhere else; nothing of you is kept.`;
}
choose("live");
clear("No answer yet");
drawLegend();
greet();
