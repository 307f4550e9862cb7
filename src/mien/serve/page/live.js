// Camera and microphone → the service, and its answers back.
import { Problem, openLive } from "./service.js";

const PICTURE = 1, SOUND = 2;
const EVERY_MS = 100;
const SHORT_SIDE = 480;
const QUALITY = 0.85;
// More than that not yet sent: the way is too slow, and a late picture is worth nothing.
const WAITING_BYTES = 200_000;
// What the browser would change to please the ear also changes what is expressed.
const SOUND_AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const NAMED = { NotAllowedError: "The browser may not use camera and microphone. Allow it beside the address, and start again.", NotFoundError: "There is neither a camera nor a microphone.", NotReadableError: "Another program has the camera or the microphone." };

function packed(kind, seconds, payload) {
  const message = new Uint8Array(9 + payload.byteLength);
  const header = new DataView(message.buffer);
  header.setUint8(0, kind);
  header.setFloat64(1, seconds, true);
  message.set(new Uint8Array(payload), 9);
  return message;
}

export async function openDevices() {
  if (!navigator.mediaDevices) throw new Problem("NoDevices", "Browsers give camera and microphone only to pages from this machine (localhost) or over https.");
  let last;
  for (const wanted of [{ video: { width: 640, height: 480 }, audio: SOUND_AS_IT_IS }, { audio: SOUND_AS_IT_IS }, { video: true }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      last = error;
      if (error.name !== "NotFoundError") break;
    }
  }
  throw new Problem(last.name, NAMED[last.name] ?? last.message);
}

async function openSound(stream, take) {
  if (!stream.getAudioTracks().length) return { rate: 16_000, close() {} };
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/microphone.js");
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  let offset = Infinity;
  // After a pause (a call, a locked screen) the two clocks lie otherwise.
  context.onstatechange = () => { offset = Infinity; };
  node.port.onmessage = ({ data: { samples, end } }) => {
    // The sound's own clock counts samples; the quickest piece tells how it lies to the page's.
    offset = Math.min(offset, performance.now() / 1000 - end);
    take(samples, offset + end - samples.length / context.sampleRate);
  };
  context.createMediaStreamSource(stream).connect(node);
  await context.resume();
  return { rate: context.sampleRate, close: () => context.close() };
}

export class Live {
  constructor(video, { onAnswer, onEnd }) {
    Object.assign(this, { video, onAnswer, onEnd, ready: false, ended: false });
    this.canvas = document.createElement("canvas");
  }

  async start() {
    this.stream = await openDevices();
    if (this.ended) return this.release();
    this.video.srcObject = this.stream;
    this.video.muted = true;
    await this.video.play().catch(() => {});
    this.sound = await openSound(this.stream, (samples, seconds) => this.send(SOUND, seconds, samples.buffer));
    if (this.ended) return this.release();
    for (const track of this.stream.getTracks()) track.onended = () => this.stop(new Problem("DeviceGone", "The camera or the microphone is gone. Plug it in, and start again."));
    this.connect();
  }

  connect() {
    const { socket, hello } = openLive();
    this.socket = socket;
    socket.onopen = () => hello(this.sound.rate);
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = () => this.stop(new Problem("NoService", "The service has ended the session. Is mien serve still running?"));
    this.timer = setInterval(() => this.sendPicture(), EVERY_MS);
  }

  take(answer) {
    if (this.ended) return;
    if (answer.error) this.stop(new Problem(answer.error.type, answer.error.message));
    else if (answer.ready) this.ready = true;
    else this.onAnswer(answer);
  }

  send(kind, seconds, payload) {
    if (!this.ready || this.ended || this.socket.readyState !== WebSocket.OPEN) return;
    if (kind === PICTURE && this.socket.bufferedAmount > WAITING_BYTES) return;
    this.socket.send(packed(kind, seconds, payload));
  }

  sendPicture() {
    const { videoWidth: width, videoHeight: height } = this.video;
    // A camera that has stalled has no new picture, and an old one is no news.
    if (!this.ready || !width || this.busy || this.video.currentTime === this.shown) return;
    this.shown = this.video.currentTime;
    const seconds = performance.now() / 1000;
    const scale = Math.min(1, SHORT_SIDE / Math.min(width, height));
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    this.busy = true;
    this.canvas.toBlob(async (blob) => {
      this.busy = false;
      if (blob) this.send(PICTURE, seconds, await blob.arrayBuffer());
    }, "image/jpeg", QUALITY);
  }

  release() {
    this.stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.sound?.close();
    this.video.srcObject = null;
  }

  stop(problem = null) {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.timer);
    this.socket?.close();
    this.release();
    this.onEnd(problem);
  }
}
