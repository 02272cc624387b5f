// Navigation: the address names the view, so that Back works and places can be bookmarked; keys;
// the start of the page.

const VIEWS = ["overview", "scene", "play", "run"];

const isShown = (name) => !byId(`view-${name}`).hidden;

let routed = null; // the address that is shown

// At once: the next key may come before the browser's event.
function go(hash) {
  location.hash = hash;
  route();
}

// Give what is shown another address.
function rename(hash) {
  history.replaceState(null, "", hash);
  routed = hash;
}

function route() {
  routed = location.hash;
  const [, name, digits] = /^#?([a-z]*)-?(\d*)$/.exec(location.hash) ?? [];
  const number = Number(digits) - 1;
  const exists = (stop) => digits && number >= 0 && number < stop;
  let shown = "overview";
  if (name === "play" || name === "run") shown = name;
  else if (name === "scene" && exists(scenes.length)) shown = "scene";
  else if (["slide", "pair"].includes(name) && exists(slideCount)) shown = "scene";
  const isAnother = !isShown(shown);
  for (const each of VIEWS) {
    byId(`view-${each}`).hidden = each !== shown;
    if (each === shown) byId(`to-${each}`).setAttribute("aria-current", "page");
    else byId(`to-${each}`).removeAttribute("aria-current");
  }
  if (shown !== "play") stop();
  if (shown === "scene") routeToSlide(name, number);
  else if (shown === "play") routeToPlace(exists(slideCount) ? number : player.at, isAnother);
  else document.title = shown === "run" ? `Run: ${film.title}` : film.title;
  if (isAnother) scrollTo(0, 0);
  sceneSheet.draw();
}

function routeToSlide(name, number) {
  const slide = name === "scene" ? scenes[number].middle : number;
  const scene = sceneOf(slide);
  // A page that renews itself goes on flipping.
  const isFlipping = slide === view.slide && view.flipping && name === "slide";
  const pairs = name === "pair" && slide + 1 < scene.stop;
  if (isFlipping) showSlide(slide, view.other, true);
  else if (pairs) showSlide(slide, slide + 1, true);
  else showSlide(slide, neighbour(slide), false);
  link("to-scene", `#slide-${slide + 1}`);
  link("to-play", `#play-${slide + 1}`);
  sceneSheet.current = Math.max(0, order.indexOf(scene));
}

function routeToPlace(slide, isAnother) {
  document.title = `Play: ${film.title}`;
  if (isAnother) loadFilms(chooseFilms);
  if (isAnother || slide !== player.asked) seek(slide);
  player.asked = slide;
}

function step(by) {
  const slide = view.slide + by;
  if (slide >= 0 && slide < slideCount) go(`#slide-${slide + 1}`);
}

// Go to the middle of another scene.
function stepScene(by) {
  const scene = scenes[sceneOf(view.slide).number - 1 + by];
  if (scene) go(`#scene-${scene.number}`);
}

const SCENE_KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => stepScene(-1),
  ArrowDown: () => stepScene(1),
  f: () => flip(),
  z: () => setZoom(byId("zoom").value === "0" ? 1 : 0),
  m: () => mark(view.slide),
  p: () => go(`#play-${view.slide + 1}`),
  F: () => toggleFullScreen("stage"),
  Escape: () => (view.flipping ? endFlip() : go("#overview")),
};

const PLAY_KEYS = {
  " ": () => togglePlay(),
  ArrowLeft: () => stepPlayer(-1),
  ArrowRight: () => stepPlayer(1),
  ArrowUp: () => playOtherScene(-1),
  ArrowDown: () => playOtherScene(1),
  Home: () => seek(0),
  End: () => seek(slideCount - 1),
  Enter: () => go(`#slide-${player.at + 1}`),
  m: () => mark(player.at),
  w: () => setWipe(!player.wipe),
  l: () => loopNext(),
  s: () => toggleSound(),
  F: () => toggleFullScreen("theatre"),
};

// Move a zoomed picture a quarter of the view.
function pan(key) {
  const box = byId("pictures");
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  box.scrollBy((x * box.clientWidth) / 4, (y * box.clientHeight) / 4);
}

function onKey(event) {
  const { target, key } = event;
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  if (target.matches("input[type=range], select") && /^(Arrow|Home|End|Page)/.test(key)) return;
  if (target.matches("a, button, select, input[type=checkbox]") && /^( |Enter)$/.test(key)) return;
  const keys = isShown("scene") ? SCENE_KEYS : isShown("play") ? PLAY_KEYS : {};
  if (event.shiftKey && key.startsWith("Arrow") && isShown("scene")) {
    event.preventDefault();
    pan(key);
    return;
  }
  const name = key.length > 1 ? key : event.shiftKey ? key.toUpperCase() : key.toLowerCase();
  if (!keys[name]) return;
  event.preventDefault();
  keys[name]();
}

function on(id, event, act) {
  byId(id).addEventListener(event, act);
}

function begin() {
  readFilm(JSON.parse(byId("film").textContent));
  byId("title").textContent = film.title;
  const poster = scenes.find((scene) => scene.picture !== null)?.picture;
  if (poster !== undefined) {
    const { report } = film.paths;
    document.head.append(make("link", { rel: "icon", href: `${report}slides/${fileName(poster)}.jpg` }));
  }
  renderOverview();
  renderRunView();
  beginDragging();
  beginPlayer();
  addEventListener("hashchange", () => { if (location.hash !== routed) route(); });
  addEventListener("keydown", onKey);
  addEventListener("focus", ask);
  on("order", "change", renderScenes);
  on("go-on-copy", "click", () => copy("go-on-copy", "go-on"));
  on("strip", "scroll", showStripWindow);
  on("flip", "click", flip);
  on("zoom", "change", () => setZoom(byId("zoom").value));
  on("slide-full", "click", () => toggleFullScreen("stage"));
  on("mark", "click", () => mark(view.slide));
  on("slide-before", "click", () => step(-1));
  on("slide-after", "click", () => step(1));
  on("redo-chain", "change", renderMarks);
  on("redo-copy", "click", () => copy("redo-copy", "redo-command"));
  on("redo-clear", "click", clearMarks);
  recallMarks();
  route();
  askAsLongAsItRuns();
}

begin();
