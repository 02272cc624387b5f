// Navigation: the address names the view, so that Back works and places can be bookmarked; keys;
// the start of the page.

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

function route() {
  const [, name, digits] = /^#?([a-z]*)-?(\d*)$/.exec(location.hash) ?? [];
  const number = Number(digits) - 1;
  const exists = (stop) => digits && number >= 0 && number < stop;
  let shown = "overview";
  if (name === "play") shown = "play";
  else if (name === "scene" && exists(scenes.length)) shown = "scene";
  else if (["slide", "pair"].includes(name) && exists(slideCount)) shown = "scene";
  for (const each of ["overview", "scene", "play"]) {
    byId(`view-${each}`).hidden = each !== shown;
    if (each === shown) byId(`to-${each}`).setAttribute("aria-current", "page");
    else byId(`to-${each}`).removeAttribute("aria-current");
  }
  if (shown !== "play") togglePlay(false);
  if (shown === "overview") {
    document.title = film.title;
    sceneSheet.draw();
  } else if (shown === "play") {
    document.title = `Play: ${film.title}`;
    seek(exists(slideCount) ? number : player.at);
  } else {
    const scene = name === "scene" ? scenes[number] : sceneOf(number);
    const slide = name === "scene" ? scene.middle : number;
    showSlide(slide, neighbour(slide), name === "pair" && slide + 1 < scene.stop);
    link("to-scene", `#slide-${slide + 1}`);
    link("to-play", `#play-${(name === "scene" ? scene.first : slide) + 1}`);
    sceneSheet.current = scene.number - 1;
  }
}

function step(by) {
  const slide = view.slide + by;
  if (slide >= 0 && slide < slideCount) go(`#slide-${slide + 1}`);
}

function onKey(event) {
  const { target, key } = event;
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  if (target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(key)) return;
  let act = null;
  if (!byId("view-scene").hidden) {
    act = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      f: flip,
      m: () => mark(view.slide),
      p: () => go(`#play-${view.slide + 1}`),
      Escape: () => (view.flipping ? endFlip() : go("#overview")),
    }[key.length === 1 ? key.toLowerCase() : key];
  } else if (!byId("view-play").hidden) {
    act = {
      " ": target.matches("button, a, input[type=checkbox]") ? null : () => togglePlay(),
      ArrowLeft: () => { togglePlay(false); seek(player.at - 1); },
      ArrowRight: () => { togglePlay(false); seek(player.at + 1); },
      Home: () => seek(0),
      End: () => seek(slideCount - 1),
      m: () => mark(player.at),
    }[key.length === 1 ? key.toLowerCase() : key];
  }
  if (!act) return;
  event.preventDefault();
  act();
}

function begin() {
  byId("title").textContent = film.title;
  byId("play-place").max = slideCount - 1;
  renderOverview();
  addEventListener("hashchange", () => { route(); scrollTo(0, 0); });
  addEventListener("keydown", onKey);
  byId("slider").addEventListener("input", showPictures);
  byId("pictures").addEventListener("pointerdown", (event) => {
    if (view.flipping) return flip();
    byId("pictures").setPointerCapture(event.pointerId);
    return moveDivider(event);
  });
  byId("pictures").addEventListener("pointermove", (event) => {
    if (event.buttons & 1 && !view.flipping) moveDivider(event);
  });
  byId("flip").addEventListener("click", flip);
  byId("mark").addEventListener("click", () => mark(view.slide));
  byId("slide-before").addEventListener("click", () => step(-1));
  byId("slide-after").addEventListener("click", () => step(1));
  byId("play-button").addEventListener("click", () => togglePlay());
  byId("play-place").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("redo-chain").addEventListener("change", renderMarks);
  byId("redo-copy").addEventListener("click", copy);
  byId("redo-clear").addEventListener("click", () => { marks.clear(); renderMarks(); });
  route();
}

begin();
