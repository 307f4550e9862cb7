// A file or a recording → the service: one answer for all of it, then window by window.
import { ask, lines, Problem } from "./service.js";
import { openDevices } from "./live.js";

const LONGEST_RECORDING_MS = 60_000;

function form(file, name) {
  const data = new FormData();
  data.append("file", file, name);
  return data;
}

export async function* read(file, name, { limit, signal }) {
  if (limit && file.size > limit) throw new Problem("UploadTooLarge", `The clip has ${(file.size / 1e6).toFixed(0)} MB; this service takes up to ${(limit / 1e6).toFixed(0)} MB.`);
  const whole = await ask("/v1/predict", { method: "POST", body: form(file, name), signal });
  yield { whole: await whole.json() };
  const windows = await ask("/v1/timeline", { method: "POST", body: form(file, name), signal });
  for await (const window of lines(windows)) {
    if (window.error) throw new Problem(window.error.type, window.error.message);
    yield { window };
  }
}

export class Recording {
  ended = false;
  file = null;

  async start(video) {
    this.stream = await openDevices();
    if (this.ended) { this.release(); return; }
    video.srcObject = this.stream;
    video.muted = true;
    await video.play().catch(() => {});
    this.recorder = new MediaRecorder(this.stream);
    const parts = [];
    this.recorder.ondataavailable = ({ data }) => parts.push(data);
    this.file = new Promise((resolve) => {
      this.recorder.onstop = () => {
        this.release();
        video.srcObject = null;
        resolve(new Blob(parts, { type: this.recorder.mimeType }));
      };
    });
    this.recorder.start();
    this.timer = setTimeout(() => this.stop(), LONGEST_RECORDING_MS);
  }

  release() { this.stream.getTracks().forEach((track) => track.stop()); }

  // Also before it has begun: the browser may still be asking whether it may.
  async stop() {
    this.ended = true;
    clearTimeout(this.timer);
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
    await this.file;
  }
}
