// The player: frames and slides next to each other, in step.

const AHEAD = 40; // slides whose pictures are loaded before they are shown

const player = { at: 0, playing: false, since: 0, from: 0, stalled: 0, cache: new Map() };

function pair(slide) {
  let found = player.cache.get(slide);
  if (!found) {
    found = { frame: null, slide: null, ready: false };
    player.cache.set(slide, found);
    blockOf(slide).then(() => Promise.all(["frame", "slide"].map(async (kind) => {
      const details = detailsOf(slide);
      if (!details || details.state === "m") return;
      const image = new Image();
      if (details.small) image.src = kind === "frame" ? files.smallFrame(slide) : files.small(slide);
      else image.src = files[kind](slide);
      await image.decode().then(() => { found[kind] = image; }, () => {});
    }))).then(() => {
      found.ready = true;
      if (slide === player.at && !byId("view-play").hidden) paint();
    });
  }
  return found;
}

function fetchAhead() {
  const until = Math.min(slideCount, player.at + AHEAD);
  for (let slide = player.at; slide < until; slide += 1) pair(slide);
  for (const slide of player.cache.keys()) {
    if (slide < player.at - AHEAD || slide > until + AHEAD) player.cache.delete(slide);
  }
}

// Paint both pictures at once, so that they are never out of step.
function paint() {
  const { at } = player;
  const found = pair(at);
  for (const kind of ["frame", "slide"]) {
    const canvas = byId(`play-${kind}`);
    const image = found[kind];
    if (image && canvas.width !== image.naturalWidth) {
      Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    }
    const pen = canvas.getContext("2d");
    if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    else if (found.ready) pen.clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.shown = found.ready ? at : "";
  }
  const words = {
    frame: `Frame ${at * film.frames_per_slide + 1}`,
    slide: `Slide ${at + 1}${detailsOf(at)?.state === "m" ? ": missing" : ""}`,
  };
  for (const kind of ["frame", "slide"]) {
    byId(`play-${kind}-name`).textContent = words[kind];
    byId(`play-${kind}`).setAttribute("aria-label", words[kind]);
  }
  byId("play-place").value = at;
  byId("play-time").textContent = `${clock(at / rate)} of ${clock(slideCount / rate)}`;
  link("play-open", `#slide-${at + 1}`);
}

function seek(slide) {
  player.at = Math.max(0, Math.min(slideCount - 1, slide));
  Object.assign(player, { since: performance.now(), from: player.at });
  fetchAhead();
  paint();
}

function togglePlay(play) {
  player.playing = play ?? !player.playing;
  byId("play-button").textContent = player.playing ? "Stop" : "Play";
  if (!player.playing) return;
  seek(player.at === slideCount - 1 ? 0 : player.at);
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!player.playing) return;
  const due = Math.min(slideCount - 1, player.from + Math.floor(((now - player.since) / 1000) * rate));
  if (due > player.at) {
    // The player waits for pictures that are late; it skips only what the screen is too slow for.
    const late = !pair(due).ready;
    if (late) {
      Object.assign(player, { since: now - 1000 / rate, from: player.at });
    } else {
      player.at = due;
      fetchAhead();
      paint();
    }
    player.stalled = late ? player.stalled + 1 : 0;
    byId("play-note").textContent = player.stalled > 20 ? "Waiting for pictures" : "";
  }
  if (player.at === slideCount - 1) togglePlay(false);
  else requestAnimationFrame(tick);
}
