// What moves on the web page by itself. The markup is in `talkinghead/webui/widgets.py` and `stage.py`.
window.talkinghead = (() => {
  const UPLOAD = "gradio_api/upload";

  // A place for one file. Its value is the path under which the server keeps what was sent.
  function drop(element, props, trigger, watch) {
    const zone = element.querySelector(".th-drop");
    const input = zone.querySelector("input");
    const name = zone.querySelector(".th-drop-name");
    const progress = zone.querySelector(".th-drop-progress");
    const most = Number(zone.dataset.maxMb);
    let request = null;

    const show = (state, text) => {
      zone.dataset.state = state;
      name.textContent = state === "empty" || state === "failed" ? "" : text;
      progress.textContent = state === "failed" ? text : "";
    };
    const named = () => decodeURIComponent(String(props.value).split("/").pop());
    const clear = () => { if (request) request.abort(); request = null; input.value = ""; };
    const fail = (sentence) => { clear(); show("failed", sentence); };

    const send = (file) => {
      clear();
      if (file.size > most * 1e6) {
        fail(`“${file.name}” has ${Math.ceil(file.size / 1e6)} MB. At most ${most} MB are taken.`);
        return;
      }
      const form = new FormData();
      form.append("files", file, file.name);
      const own = request = new XMLHttpRequest();
      own.open("POST", UPLOAD);
      own.responseType = "json";
      own.upload.onprogress = (event) => {
        if (event.lengthComputable) show("sending", `${file.name}: ${Math.floor((100 * event.loaded) / event.total)}%`);
      };
      own.onload = () => {
        if (request !== own) return;
        if (own.status !== 200 || !Array.isArray(own.response)) {
          fail((own.response && own.response.detail) || "The file could not be sent.");
          return;
        }
        request = null;
        show("full", file.name);
        props.value = own.response[0];
        trigger("upload");
      };
      own.onerror = () => { if (request === own) fail("The file could not be sent: the server does not answer."); };
      show("sending", file.name);
      own.send(form);
    };

    input.addEventListener("change", () => { if (input.files.length) send(input.files[0]); });
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, () => { zone.dataset.over = "yes"; });
    for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => { delete zone.dataset.over; });
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
    });
    zone.querySelector(".th-drop-clear").addEventListener("click", () => {
      clear();
      show("empty", "");
      props.value = "";
      trigger("clear");
      input.focus();
    });
    zone.send = send;
    watch("value", () => { if (props.value) show("full", named()); else if (!request) show("empty", ""); });
    if (props.value) show("full", named());
  }

  // One of several pictures. Its value is that of the input that is checked.
  function choice(element, props, trigger, watch) {
    const check = () => {
      for (const input of element.querySelectorAll("input")) input.checked = input.value === props.value;
    };
    element.addEventListener("change", (event) => { props.value = event.target.value; trigger("select"); });
    watch(["value", "cards"], check);
    check();
  }

  // Buttons that say what they do, and with which entry.
  function actions(element, trigger) {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) trigger(button.dataset.do, { index: Number(button.dataset.index) });
    });
  }

  const find = (selector) => document.querySelector(selector);

  // Generate waits while an example is being filled in.
  function release() {
    const go = find("#go");
    if (go && go.dataset.held) { go.disabled = false; delete go.dataset.held; }
  }
  function hold() {
    const go = find("#go");
    if (go && !go.disabled) { go.disabled = true; go.dataset.held = "yes"; setTimeout(release, 5000); }
  }

  // Something is being made: the stage comes into sight, and the keyboard goes on at Cancel.
  function making() {
    release();
    inSight();
    setTimeout(inSight, 800); // the page has become shorter meanwhile
    if (document.activeElement && document.activeElement.id === "go") follow("#stop", "#go");
  }
  function inSight() {
    const stage = find("#stage");
    const box = stage.getBoundingClientRect();
    if (box.top < 0 || box.bottom > window.innerHeight) {
      stage.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
    }
  }
  function follow(selector, other) {
    const watcher = new MutationObserver(() => {
      const button = find(selector);
      if (!button || find(other)) return;
      watcher.disconnect();
      if (document.activeElement === document.body) button.focus({ preventScroll: true });
      if (selector === "#stop") follow("#go", "#stop");
    });
    watcher.observe(find("#go-row"), { childList: true, subtree: true });
  }
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  const pressed = {
    hear(button) {
      const video = find("#hero");
      video.muted = !video.muted;
      if (!video.muted) video.currentTime = 0;
      video.play();
      button.querySelector("span").textContent = video.muted ? "Hear it" : "Mute";
    },
    pause(button) {
      const video = find("#hero");
      if (video.paused) video.play(); else video.pause();
    },
    compare(button) {
      const stage = find("#stage .th-stage");
      const on = stage.classList.toggle("th-comparing");
      button.setAttribute("aria-pressed", String(on));
      for (const video of stage.querySelectorAll("video")) {
        if (video.closest(".th-source") && !on) { video.pause(); continue; }
        video.currentTime = 0;
        video.play();
      }
    },
  };

  function heroState() {
    const video = find("#hero");
    const button = find("[data-th=pause]");
    if (!video || !button) return;
    button.setAttribute("aria-label", video.paused ? "Play" : "Pause");
    button.dataset.paused = video.paused ? "yes" : "no";
  }

  // Files that are dropped or pasted beside a place for them go where their kind belongs.
  function elsewhere(files) {
    const file = files && files[0];
    if (!file) return;
    const zone = find(file.type.startsWith("audio/") ? "#sound-drop .th-drop" : "#face-drop .th-drop");
    if (zone && zone.send) zone.send(file);
  }

  function start() {
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      const go = find("#go");
      if (go && !go.disabled) { event.preventDefault(); go.click(); }
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-th]");
      if (button) pressed[button.dataset.th](button);
    });
    for (const kind of ["play", "pause"]) document.addEventListener(kind, heroState, true);
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => { event.preventDefault(); elsewhere(event.dataTransfer.files); });
    document.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) { event.preventDefault(); elsewhere(event.clipboardData.files); }
    });
    document.documentElement.lang = "en";
    const hero = find("#hero");
    if (hero && calm()) hero.pause();
    heroState();
  }

  return { drop, choice, actions, hold, release, making, start };
})();
