// Cuts the microphone into pieces of 20 ms and lets through what is spoken: a little before it, until half a second after.
const BEFORE = 10, AFTER = 25, FLOOR = 0.004, ABOVE = 3;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate / 50));
    this.filled = 0;
    this.energy = 0;
    this.noise = FLOOR;
    this.left = 0;
    this.before = [];
    this.on = true;
    this.port.onmessage = (event) => { this.on = event.data; };
  }

  process(inputs) {
    const samples = inputs[0][0];
    if (samples) for (const sample of samples) {
      this.energy += sample * sample;
      this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
      if (this.filled === this.piece.length) this.cut();
    }
    return true;
  }

  cut() {
    const level = Math.sqrt(this.energy / this.filled), piece = this.piece.slice();
    this.filled = this.energy = 0;
    // The noise of the room is what is always there: it falls at once and rises slowly.
    this.noise = Math.max(FLOOR, Math.min(level, this.noise * 1.005));
    this.port.postMessage({ level });
    if (!this.on) { this.stop(); this.before = []; return; }
    if (level > ABOVE * this.noise) {
      if (!this.left) this.before.forEach((early) => this.port.postMessage({ piece: early }));
      this.before = [];
      this.left = AFTER;
    }
    if (this.left) {
      this.port.postMessage({ piece });
      if (--this.left === 0) this.port.postMessage({ end: true });
    } else {
      this.before.push(piece);
      if (this.before.length > BEFORE) this.before.shift();
    }
  }

  stop() {
    if (this.left) this.port.postMessage({ end: true });
    this.left = 0;
  }
}

registerProcessor("microphone", Microphone);
