// Runs beside the page: the microphone's sound as 16-bit samples, a tenth of a second at once.
class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate / 10));
    this.filled = 0;
  }

  process([channels]) {
    const count = channels[0]?.length ?? 0;
    for (let place = 0; place < count; place += 1) {
      const mean = channels.reduce((sum, channel) => sum + channel[place], 0) / channels.length;
      this.piece[this.filled] = Math.max(-1, Math.min(1, mean)) * 32767;
      this.filled += 1;
      if (this.filled === this.piece.length) {
        // The samples of this call after this one are still to come.
        const end = (currentFrame + place + 1) / sampleRate;
        this.port.postMessage({ samples: this.piece.slice(), end });
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("microphone", Microphone);
