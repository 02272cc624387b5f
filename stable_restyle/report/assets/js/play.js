// The player: frames and slides in step, next to each other or one over the other, as films or, where
// these cannot be played, as thumbnails.

const AHEAD = 40; // slides whose pictures are loaded before they are shown
const LOOPS = ["", "scene", "film"];

const player = {
  at: 0, playing: false, wipe: false, films: false,
  loop: { first: 0, stop: 0, again: false }, // the slides that are played
  since: 0, from: 0, stalled: 0, cache: new Map(), // of thumbnails
};

const playWipe = new Wipe(
  byId("screen-slide").querySelector(".screen"), byId("slide-layers"), byId("play-border"),
  byId("play-divider"),
);

// Thumbnails

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
      if (slide === player.at && isShown("play")) paint();
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
  showPlace();
}

// What both have in common

// Show where the player is.
function showPlace() {
  const { at } = player;
  const words = {
    frame: `Frame ${at * film.frames_per_slide + 1}`,
    slide: `Slide ${at + 1}${isMissing(at) ? `: ${missingWords()[0]}` : ""}`,
  };
  for (const kind of ["frame", "slide"]) {
    byId(`play-${kind}-name`).textContent = words[kind];
    byId(`play-${kind}`).setAttribute("aria-label", words[kind]);
  }
  byId("play-place").value = at;
  byId("play-time").textContent = `${clock(at / rate)} of ${clock(slideCount / rate)}`;
  link("play-open", `#slide-${at + 1}`);
  press("play-mark", marks.has(at));
}

function seek(slide) {
  player.at = Math.max(0, Math.min(slideCount - 1, slide));
  setLoop();
  if (player.films) {
    seekFilms(player.at);
    showPlace();
    return;
  }
  Object.assign(player, { since: performance.now(), from: player.at });
  fetchAhead();
  paint();
}

function stepPlayer(by) {
  stop();
  seek(player.at + by);
}

// Go to the first slide of another scene.
function playOtherScene(by) {
  const scene = scenes[sceneOf(player.at).number - 1 + by];
  if (scene) seek(scene.first);
}

function togglePlay() {
  if (player.playing) stop();
  else start();
}

async function start() {
  player.playing = true;
  byId("play-button").textContent = "Stop";
  seek(player.at === slideCount - 1 ? player.loop.first : player.at);
  if (player.films) {
    try {
      await startFilms();
    } catch { // stopped again before it began
      return;
    }
  }
  requestAnimationFrame(tick);
}

function stop() {
  if (player.playing && player.films) stopFilms();
  player.playing = false;
  byId("play-button").textContent = "Play";
}

function tick(now) {
  if (!player.playing || !isShown("play")) return;
  const due = player.films ? followFilms() : dueThumbnail(now);
  if (due >= player.loop.stop) {
    if (!player.loop.again) {
      stop();
      return seek(slideCount - 1);
    }
    seek(player.loop.first);
    if (player.films && filmOf.slide.paused) startFilms().catch(() => {});
  } else if (due !== player.at) {
    player.at = due;
    if (player.films) showPlace();
    else {
      fetchAhead();
      paint();
    }
  }
  return requestAnimationFrame(tick);
}

// The thumbnail that is due. The player waits for those that are late; it skips only what the screen
// is too slow for.
function dueThumbnail(now) {
  const due = player.from + Math.floor(((now - player.since) / 1000) * rate);
  if (due <= player.at || due >= player.loop.stop) return Math.max(due, player.at);
  const late = !pair(due).ready;
  if (late) Object.assign(player, { since: now - 1000 / rate, from: player.at });
  player.stalled = late ? player.stalled + 1 : 0;
  if (player.stalled > 20 || !late) showNote(late ? "Waiting for pictures" : undefined);
  return late ? player.at : due;
}

// Loop, wipe, sound

function setLoop() {
  const kind = byId("loop").value;
  const { first, stop } = kind === "scene" ? sceneOf(player.at) : { first: 0, stop: slideCount };
  player.loop = { first, stop, again: kind !== "" };
}

function loopNext() {
  const next = LOOPS[(LOOPS.indexOf(byId("loop").value) + 1) % LOOPS.length];
  byId("loop").value = next;
  setLoop();
  announce(next ? `Loop: ${next}` : "No loop");
}

function setWipe(isOn) {
  player.wipe = isOn;
  press("wipe", isOn);
  byId("screens").classList.toggle("over", isOn);
  playWipe.set(isOn, [byId("play-slide"), filmOf.slide]);
}

function toggleSound() {
  filmOf.slide.muted = !filmOf.slide.muted;
  press("sound", !filmOf.slide.muted);
}

// Films or thumbnails

// Show films as soon as both can be played.
function chooseFilms() {
  const why = whyNoFilms();
  const films = why === "";
  for (const kind of ["frame", "slide"]) {
    byId(`play-${kind}`).hidden = films;
    filmOf[kind].hidden = !films;
  }
  if (films !== player.films) {
    stop();
    player.films = films;
    if (isShown("play")) seek(player.at);
  }
  byId("sound").hidden = !films;
  showNote();
}

function showNote(words) {
  const why = whyNoFilms();
  const usual = why ? `Thumbnails, without sound: ${why}.` : why === "" ? "SOURCE and TARGET" : "Loading";
  const text = words ?? usual;
  if (byId("play-note").textContent !== text) byId("play-note").textContent = text;
}

// Show what has become of the film since.
function renewPlayer() {
  byId("play-place").max = slideCount - 1;
  player.cache.clear();
  link("open-source", film.films.source);
  link("open-target", film.films.target);
  if (!isShown("play")) return;
  loadFilms(chooseFilms);
  if (!player.playing) seek(player.at);
}

function beginPlayer() {
  renewPlayer();
  on("play-button", "click", togglePlay);
  on("play-before", "click", () => stepPlayer(-1));
  on("play-after", "click", () => stepPlayer(1));
  on("play-place", "input", (event) => seek(Number(event.target.value)));
  on("wipe", "click", () => setWipe(!player.wipe));
  on("loop", "change", setLoop);
  on("sound", "click", toggleSound);
  on("play-full", "click", () => toggleFullScreen("theatre"));
  on("play-mark", "click", () => mark(player.at));
  onDrag(byId("screens"), () => player.wipe, (event) => playWipe.moveTo(event));
  for (const video of Object.values(filmOf)) {
    video.addEventListener("seeked", () => {
      video.dataset.shown = Math.floor(video.currentTime * rate + 1e-3);
    });
  }
  setWipe(false);
}
