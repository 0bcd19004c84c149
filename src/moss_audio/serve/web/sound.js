// Sound in the browser: what a file holds as samples, its peaks, and samples as a WAV file.

const PEAKS_A_SECOND = 200;
// So long a recording is decoded at such a rate: the samples of an hour are many.
const RATES = [[2400, 16_000], [7200, 8_000]];

/** Mono 16-bit samples of a file: {rate, pcm}. Null for what this browser cannot decode, or what
 * is too long to hold. */
export async function decode(blob, duration) {
  const [, rate] = RATES.find(([most]) => duration <= most) ?? [];
  if (!rate) return null;
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
  } catch {
    return null;
  }
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, i) => decoded.getChannelData(i));
  const pcm = new Int16Array(decoded.length);
  for (let i = 0; i < pcm.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    pcm[i] = 32767 * Math.max(-1, Math.min(1, sum / channels.length));
  }
  return { rate: decoded.sampleRate, pcm };
}

/** The largest sample of each 5 ms, 0 to 1. */
export function peaks({ rate, pcm }) {
  const step = rate / PEAKS_A_SECOND;
  const found = new Float32Array(Math.max(1, Math.ceil(pcm.length / step)));
  for (let i = 0; i < pcm.length; i++) {
    const at = Math.floor(i / step);
    const size = Math.abs(pcm[i]) / 32768;
    if (size > found[at]) found[at] = size;
  }
  return found;
}

/** 16-bit samples, in one array or several, as a WAV file. */
export function wav(rate, ...parts) {
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true); // one channel
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, ...parts], { type: "audio/wav" });
}

/** Base64 of bytes. */
export function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
