// The page of a live session: watches it by WHEP, speaks through it by WebSocket.
const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const named = new URLSearchParams(location.search).get("session");
const session = /^[A-Za-z0-9_-]{1,64}$/.test(named ?? "") ? named : `page-${[...crypto.getRandomValues(new Uint8Array(8))].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const MOST_WAIT_MS = 8000, PIECE_BYTES = 96000, MOST_BUFFERED = 2000000;
const state = { peer: null, resource: null, socket: null, ready: false, speaking: new Set(), own: null, sound: null, mic: null, wait: 500, face: null, shown: null, stats: null, before: null, leaving: false };
const video = $("face");

$("whep").textContent = `${location.origin}/whep/${session}`;

// What is told

function say(text) { if ($("status").textContent !== text) $("status").textContent = text; }
function problem(text) { $("problem").textContent = text ?? ""; $("problem").hidden = !text; }
function trouble(event) { problem([event.what, event.accepted && `Accepted: ${event.accepted}`, event.remedy && `Try: ${event.remedy}`].filter(Boolean).join("\n")); }
function show() {
  const speaking = state.speaking.size > 0 || state.sound !== null;
  $("interrupt").disabled = !speaking;
  const there = video.videoWidth > 0 && !state.lost;
  $("stage").dataset.state = !there ? "waiting" : state.speaking.size ? "speaking" : "idle";
  if (state.leaving) return;
  if (state.lost || !state.ready || !there) say(state.lost ? "The connection is lost; trying again" : "Connecting");
  else if (state.changing) say(state.changing);
  else if (state.speaking.size) say("Speaking");
  else if (state.mic) say("Listening: talk, and it says the same");
  else say("Ready: talk, write, or drop a file");
  // The microphone rests while something else is being said, so that it does not wait in line behind it.
  state.mic?.node.port.postMessage(state.own === null && state.sound === null);
}

// Watching

async function watch() {
  leave();
  const peer = state.peer = new RTCPeerConnection();
  const stream = new MediaStream();
  peer.ontrack = (event) => {
    stream.addTrack(event.track);
    if (video.srcObject !== stream) video.srcObject = stream;
    play();
  };
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.onconnectionstatechange = () => {
    if (peer !== state.peer) return;
    if (peer.connectionState === "connected") { state.lost = false; state.wait = 500; show(); }
    if (["failed", "closed"].includes(peer.connectionState)) again();
  };
  try {
    await peer.setLocalDescription();
    if (peer.iceGatheringState !== "complete") await new Promise((resolve) => {
      setTimeout(resolve, 1500);
      peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    });
    const reply = await fetch(`/whep/${session}`, { method: "POST", headers: { ...headers, "Content-Type": "application/sdp" }, body: peer.localDescription.sdp });
    if (!reply.ok) { trouble(await reply.json().catch(() => ({ what: `The server answers ${reply.status}.` }))); throw new Error(reply.status); }
    state.resource = reply.headers.get("Location");
    await peer.setRemoteDescription({ type: "answer", sdp: await reply.text() });
  } catch { if (peer === state.peer) again(); }
}

function leave() {
  if (state.resource) fetch(state.resource, { method: "DELETE", headers, keepalive: true }).catch(() => {});
  state.resource = null;
  const peer = state.peer;
  state.peer = null;
  peer?.close();
}

let waiting = 0;
function again() {
  if (state.leaving || waiting) return;
  state.lost = true;
  state.resource = null; // it went with the connection
  show();
  waiting = setTimeout(() => { waiting = 0; if (!state.socket || state.socket.readyState > 1) speak(); watch(); }, state.wait);
  state.wait = Math.min(MOST_WAIT_MS, state.wait * 2);
}

async function play() {
  try { await video.play(); } catch (error) {
    if (error.name !== "NotAllowedError") return; // such as a new stream before the old one played
    video.muted = true;
    $("unmute").hidden = false;
    await video.play().catch(() => {});
  }
}
function unmute() { if (video.muted) { video.muted = false; video.play().catch(() => {}); } $("unmute").hidden = true; }
$("unmute").onclick = unmute;
video.onresize = () => {
  if (video.videoWidth) $("stage").style.setProperty("--shape", `${video.videoWidth} / ${video.videoHeight}`);
  show();
};
video.onplaying = show;

// Speaking

function speak() {
  const address = new URL(`/agent/${session}${token ? `?token=${encodeURIComponent(token)}` : ""}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = state.socket = new WebSocket(address);
  socket.onopen = () => tell({ type: "hello", sample_rate: context?.sampleRate ?? 48000, format: "int16", channels: 1 });
  socket.onmessage = (message) => heard(JSON.parse(message.data));
  socket.onclose = () => {
    if (socket !== state.socket) return;
    state.ready = false;
    state.speaking.clear();
    state.own = state.sound = state.changing = null;
    again();
  };
}
function tell(message) { if (state.socket?.readyState === 1) state.socket.send(JSON.stringify(message)); }

function heard(event) {
  if (event.type === "ready") { state.ready = true; state.shown = event; fill(event); }
  else if (event.type === "queued") { state.speaking.add(event.utterance); state.own = event.utterance; problem(event.notes.join("\n")); }
  else if (event.type === "started") { state.speaking.add(event.utterance); if (state.sound === "sent") { state.own = event.utterance; state.sound = null; } }
  else if (event.type === "finished") { state.speaking.delete(event.utterance); if (event.utterance >= state.own) state.own = null; }
  else if (event.type === "interrupted") { state.speaking.clear(); state.own = null; state.sound = null; }
  else if (event.type === "shown") { state.shown = event; state.changing = null; state.face = event.face; $("model").value = event.model; problem(); }
  else if (event.type === "stats") { state.stats = event; return figures(); }
  else if (event.type === "error") {
    trouble(event);
    state.sound = null;
    if (state.changing) { state.changing = null; $("model").value = state.shown.model; }
  }
  show();
}

$("bar").onsubmit = (event) => {
  event.preventDefault();
  unmute();
  const text = $("text").value.trim();
  if (!text || !state.ready) return;
  problem();
  tell({ type: "say", text, lang: $("lang").value || undefined, voice: $("voice").value || undefined });
  $("text").value = "";
};
function interrupt() { if (!$("interrupt").disabled) { state.sound = null; tell({ type: "interrupt" }); $("text").focus(); } }
$("interrupt").onclick = interrupt;
addEventListener("keydown", (event) => { if (event.key === "Escape") interrupt(); });

// The microphone and files

let context = null;
async function sounding() {
  if (!context) {
    context = new AudioContext({ latencyHint: "interactive" });
    if (context.audioWorklet) await context.audioWorklet.addModule("microphone.js");
    tell({ type: "hello", sample_rate: context.sampleRate, format: "int16", channels: 1 });
  }
  if (context.state === "suspended") await context.resume();
  return context;
}

async function listen() {
  if (state.mic) {
    state.mic.stream.getTracks().forEach((track) => track.stop());
    state.mic.node.disconnect();
    state.mic = null;
    tell({ type: "end_turn" });
  } else if (!navigator.mediaDevices?.getUserMedia) {
    problem("The browser gives no microphone to this page.\nTry: open it as http://localhost or by https");
  } else try {
    problem();
    unmute();
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
    const node = new AudioWorkletNode(await sounding(), "microphone", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      if (data.level !== undefined) $("mic").style.setProperty("--level", Math.min(1, data.level * 8).toFixed(2));
      else if (data.piece && state.socket?.readyState === 1 && state.ready) state.socket.send(data.piece);
      else if (data.end) tell({ type: "end_turn" });
    };
    context.createMediaStreamSource(stream).connect(node);
    state.mic = { stream, node };
  } catch (error) { problem(`The microphone cannot be used: ${error.message}\nTry: allow it for this page`); }
  $("mic").setAttribute("aria-pressed", String(state.mic !== null));
  show();
}
$("mic").onclick = listen;

async function sayFile(file) {
  if (!state.ready || state.sound) return;
  unmute();
  problem();
  state.sound = "sending";
  show();
  try {
    const decoded = await (await sounding()).decodeAudioData(await file.arrayBuffer());
    const pcm = new Int16Array(decoded.length);
    for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
      const samples = decoded.getChannelData(channel), share = 32767 / decoded.numberOfChannels;
      for (let index = 0; index < pcm.length; index++) pcm[index] += Math.max(-1, Math.min(1, samples[index])) * share;
    }
    tell({ type: "end_turn" });
    for (let start = 0; start < pcm.length && state.sound === "sending"; start += PIECE_BYTES / 2) {
      while (state.socket?.bufferedAmount > MOST_BUFFERED) await new Promise((resolve) => setTimeout(resolve, 50));
      state.socket?.send(pcm.subarray(start, start + PIECE_BYTES / 2));
    }
    tell({ type: "end_turn" });
    if (state.sound === "sending") state.sound = state.speaking.size ? null : "sent";
    if (state.sound === null) state.own = Math.max(...state.speaking);
  } catch (error) {
    state.sound = null;
    problem(`${file.name} cannot be spoken: ${error.message}\nTry: a WAV, MP3, FLAC or Ogg file`);
  }
  show();
}
$("sound").onchange = () => { if ($("sound").files[0]) sayFile($("sound").files[0]); $("sound").value = ""; };

// Faces, models, voices

async function sendFace(file) {
  if (!state.ready || state.changing) return;
  problem();
  state.changing = `Sending ${file.name}`;
  show();
  try {
    const reply = await fetch(`/faces/${session}`, { method: "POST", headers, body: file });
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.what ?? found.detail ?? reply.status);
    $("face-name").textContent = file.name;
    change({ face: found.face });
  } catch (error) { state.changing = null; problem(`${file.name} cannot be shown: ${error.message}`); show(); }
}
function change(what) {
  state.changing = "Preparing: the other face comes in a moment";
  tell({ type: "show", ...what });
  show();
}
$("face-file").onchange = () => { if ($("face-file").files[0]) sendFace($("face-file").files[0]); $("face-file").value = ""; };
$("model").onchange = () => change({ model: $("model").value });

function options(select, rows) {
  const chosen = select.value, first = [...select.options].filter((option) => option.value === "");
  select.replaceChildren(...first, ...rows.map(([label, value]) => new Option(label, value)));
  select.value = chosen;
}
async function fill(ready) {
  options($("lang"), ready.voices.languages);
  options($("voice"), ready.voices.names.map((name) => [name, name]));
  const reply = await fetch("/models", { headers }).catch(() => null);
  const models = reply?.ok ? await reply.json() : [{ name: ready.model, title: ready.model }];
  options($("model"), models.map((model) => [model.title, model.name]));
  $("model").value = ready.model;
}

let over = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); over++; document.body.classList.add("dropping"); });
addEventListener("dragleave", () => { if (--over <= 0) document.body.classList.remove("dropping"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dropping");
  const file = event.dataTransfer.files[0];
  if (file) (/^(image|video)\//.test(file.type) ? sendFace : sayFile)(file);
});

// Figures

const ms = (seconds) => seconds === undefined || seconds === null ? "–" : `${Math.round(seconds * 1000)} ms`;
async function figures() {
  const peer = state.peer, stats = state.stats;
  if (!peer || !stats) return;
  const found = {};
  (await peer.getStats()).forEach((row) => {
    if (row.type === "inbound-rtp") found[row.kind] = row;
    if (row.type === "candidate-pair" && row.nominated) found.pair = row;
    if (row.type === "codec") found[row.id] = row;
  });
  const { audio, video: picture, pair } = found, before = state.before ?? {};
  const held = (row) => row && row.jitterBufferEmittedCount ? row.jitterBufferDelay / row.jitterBufferEmittedCount : undefined;
  const way = (pair?.currentRoundTripTime ?? 0) / 2;
  const late = stats.latency_s === null ? undefined : stats.latency_s + way + (held(audio) ?? 0);
  const skew = audio?.estimatedPlayoutTimestamp && picture?.estimatedPlayoutTimestamp ? picture.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp : undefined;
  const bits = before.picture && picture ? 8 * (picture.bytesReceived - before.picture.bytesReceived) / (picture.timestamp - before.picture.timestamp) : undefined;
  state.before = { picture };
  state.figures = { late, skew, latePictures: stats.late_pictures, moments: stats.moments };
  const rows = [
    ["speech is later by", ms(late)],
    ["of that: session", ms(stats.latency_s)],
    ["of that: network and player", ms(way + (held(audio) ?? 0))],
    ["late pictures", `${stats.late_pictures} of ${stats.moments}`],
    ["picture after sound", skew === undefined ? "–" : `${Math.round(skew)} ms`],
    ["work per picture", ms(stats.draw_s)],
    ["shown", picture?.frameWidth ? `${picture.frameWidth}×${picture.frameHeight}, ${Math.round(picture.framesPerSecond ?? 0)}/s` : "–"],
    ["bit rate", bits === undefined ? "–" : `${Math.round(bits)} kbit/s ${found[picture.codecId]?.mimeType.split("/")[1] ?? ""}`],
    ["viewers, agents", `${stats.viewers}, ${stats.agents}`],
  ];
  $("figures").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt"), data = document.createElement("dd");
    term.textContent = name;
    data.textContent = value;
    return [term, data];
  }));
  $("corner-short").textContent = late === undefined ? "figures" : `${ms(late)} late`;
}
setInterval(() => { if (state.ready && !document.hidden) tell({ type: "stats" }); }, 1000);

addEventListener("pagehide", () => { state.leaving = true; leave(); state.socket?.close(); });
addEventListener("pageshow", (event) => { if (event.persisted) { state.leaving = false; speak(); watch(); } });
speak();
watch();
show();
