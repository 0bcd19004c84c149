// In the audio thread: samples of the microphone as 16-bit PCM, a tenth of a second at a time.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 10);
    this.begin();
    this.port.onmessage = () => this.flush(true);
  }

  begin() {
    this.block = new Int16Array(this.size);
    this.filled = 0;
    this.peak = 0;
  }

  flush(last = false) {
    const pcm = this.block.slice(0, this.filled);
    this.port.postMessage({ pcm: pcm.buffer, peak: this.peak, last }, [pcm.buffer]);
    this.begin();
  }

  process([input]) {
    const samples = input[0];
    for (let i = 0; samples && i < samples.length; i++) {
      const value = Math.max(-1, Math.min(1, samples[i]));
      this.peak = Math.max(this.peak, Math.abs(value));
      this.block[this.filled++] = value < 0 ? value * 32768 : value * 32767;
      if (this.filled === this.size) this.flush();
    }
    return true;
  }
}

registerProcessor("capture", Capture);
