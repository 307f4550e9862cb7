// Answers → rows of the table that mien timeline writes, and files of them.
import { EMOTIONS } from "./emotions.js";

const COLUMNS = [
  "start_s", "end_s", "person", "emotion", "confidence",
  ...EMOTIONS, ...EMOTIONS.map((name) => `audio_${name}`), ...EMOTIONS.map((name) => `video_${name}`),
  "faces_found", "speech", "reason",
];

export function reasonOf(answer) {
  const reasons = [["voice", answer.audio.reason], ["face", answer.video.reason]].filter(([, why]) => why);
  return reasons.map(([name, why]) => `${name}: ${why}`).join("; ") || null;
}

function row(answer) {
  const shares = (found) => EMOTIONS.map((name) => found?.[name] ?? null);
  return [
    answer.start_s ?? 0, answer.end_s ?? answer.duration_s, answer.person ?? null, answer.emotion, answer.confidence,
    ...shares(answer.probabilities), ...shares(answer.audio.probabilities), ...shares(answer.video.probabilities),
    answer.faces_found, answer.speech ?? null, reasonOf(answer),
  ];
}

function cell(value) {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(answers) {
  return [COLUMNS, ...answers.map(row)].map((each) => `${each.map(cell).join(",")}\r\n`).join("");
}

export function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
