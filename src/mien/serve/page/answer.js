// The answer: a headline, eight bars for voice, face and both, and why a branch is out.
import { COLOURS, EMOTIONS } from "./emotions.js";

const by = (id) => document.getElementById(id);
const BRANCHES = ["audio", "video", "fused"];
const NAMES = { audio: "Voice", video: "Face" };
const SPOKEN_MS = 3000;

function percent(share) { return `${Math.round(100 * share)} %`; }

// A probability, without ever saying that something is sure.
export function probability(share) {
  if (share >= 0.995) return ">99 %";
  return share <= 0.005 ? "<1 %" : percent(share);
}

function make(tag, options = {}, children = []) {
  const element = Object.assign(document.createElement(tag), options);
  element.append(...children);
  return element;
}

const rows = EMOTIONS.map((name, emotion) => {
  const cells = BRANCHES.map(() => {
    const fill = make("i"), share = make("span", { className: "share" });
    fill.style.background = COLOURS[emotion];
    const cell = make("span", { className: "cell" }, [make("span", { className: "bar" }, [fill]), share]);
    return { fill, share, cell, data: make("td", {}, [cell]) };
  });
  const line = make("tr", {}, [make("th", { scope: "row", textContent: name }), ...cells.map(({ data }) => data)]);
  by("bars").tBodies[0].append(line);
  return { line, cells };
});

export function headline(answer) {
  if (!answer.probabilities) return "No answer: neither face nor voice can be read";
  const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  const [first, second] = ranked.slice(0, 2).map(([name, share]) => `${name} ${probability(share)}`);
  return `${answer.emotion === null ? "not sure: " : ""}${first}, or else ${second}`;
}

function showBars(answer) {
  const found = [answer.audio.probabilities, answer.video.probabilities, answer.probabilities];
  const best = found.map((shares) => (shares ? Math.max(...Object.values(shares)) : null));
  rows.forEach(({ line, cells }, emotion) => {
    cells.forEach(({ fill, share, cell }, branch) => {
      const value = found[branch]?.[EMOTIONS[emotion]] ?? null;
      fill.style.transform = `scaleX(${value ?? 0})`;
      share.textContent = value === null ? "–" : probability(value);
      cell.classList.toggle("out", value === null);
      cell.classList.toggle("first", value !== null && value === best[branch]);
    });
    line.classList.toggle("first", best[2] !== null && found[2][EMOTIONS[emotion]] === best[2]);
  });
}

function reason(name, branch, more) {
  if (!branch.used) return make("li", { className: "out" }, [make("b", { textContent: `${NAMES[name]} not used` }), `: ${branch.reason}`]);
  const [emotion, share] = Object.entries(branch.probabilities).sort((a, b) => b[1] - a[1])[0];
  const verb = name === "audio" ? "sounds" : "looks";
  return make("li", {}, [make("b", { textContent: NAMES[name] }), ` ${verb} ${emotion}, ${probability(share)}${more}`]);
}

function showReasons(answer) {
  const faces = answer.faces_found === null ? "" : `; found in ${percent(answer.faces_found)} of the frames looked at`;
  const told = [reason("audio", answer.audio, ""), reason("video", answer.video, faces)];
  if (answer.set) told.push(make("li", {}, [make("b", { textContent: "Likely" }), ` ${answer.set.join(", ")}: such sets hold the truth in ${percent(answer.set_rate)} of clips`]));
  by("reasons").replaceChildren(...told);
}

let spoken = "", spokenAt = -Infinity;
export function say(text) {
  by("spoken").textContent = text;
}

// A screen reader is told changes, and leaves time to hear them.
function sayChange(answer, always) {
  const text = answer.emotion ?? "no answer";
  const now = performance.now();
  if (!always && (text === spoken || now - spokenAt < SPOKEN_MS)) return;
  [spoken, spokenAt] = [text, now];
  say(headline(answer));
}

export function show(answer, { view, age = "", live = false }) {
  by("headline").textContent = headline(answer);
  by("headline").dataset.emotion = answer.emotion ?? "";
  by("view").textContent = view;
  by("age").textContent = age;
  showBars(answer);
  showReasons(answer);
  sayChange(answer, !live);
}

export function clear(text) {
  const nothing = { used: false, probabilities: null };
  showBars({ audio: nothing, video: nothing, probabilities: null });
  by("headline").textContent = text;
  by("headline").dataset.emotion = "";
  by("view").textContent = by("age").textContent = "";
  by("reasons").replaceChildren();
}
