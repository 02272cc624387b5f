// The open slide: its facts, and comparisons with its sources and its neighbour.

// The pictures that can be shown to the left of the slide: names and titles.
const SOURCES = [
  ["frame", "Frame"],
  ["warped", "Warped: the previous slide, moved to this frame"],
  ["mask", "Mask: white is what the model may change"],
  ["guide", "Guide: what the model started from"],
];

async function showSlide(slide, other, flipping) {
  const scene = sceneOf(slide);
  showScene(scene);
  Object.assign(view, { slide, other, flipping, flipped: false });
  await Promise.all([slide, other].filter((each) => each >= 0 && !detailsOf(each)).map(blockOf));
  if (view.slide !== slide) return;
  stripSheet.show(slide - scene.first);
  for (const [index, cell] of stripSheet.cells) updateStripCell(cell, scene.first + index);
  renderSlide();
  showPictures();
  showPosition();
  for (const near of [slide + 1, slide - 1]) { // load these now, to show them without delay
    if (near >= scene.first && near < scene.stop && "nk".includes(detailsOf(near)?.state)) {
      new Image().src = files.slide(near);
    }
  }
}

function renderSlide() {
  const { slide } = view;
  const scene = sceneOf(slide);
  const details = detailsOf(slide);
  const facts = [];
  if (slide === scene.middle) facts.push("the middle of the scene");
  if (details?.state === "m") facts.push(`missing: ${details.reason}`);
  if (details?.by === "") facts.push(`filled from its keys in ${short(details.seconds)} s`);
  if (details?.by) facts.push(`drawn by ${details.by} in ${short(details.seconds)} s`);
  if (details?.state === "k") facts.push("kept from an earlier run");
  if (details?.given) facts.push("your own picture (--given)");
  if (details?.seed !== undefined) facts.push(`drawn again with seed ${details.seed}`);
  if (details && details.flicker !== null) {
    facts.push(`to the previous slide: flicker ${short(details.flicker)}, E_warp ${short(details.e_warp)}`);
  }
  byId("slide-title").textContent = `Slide ${slide + 1}`;
  const frame = slide * film.frames_per_slide;
  byId("slide-facts").textContent =
    [`${clock(frame / film.rate)} into the film, frame ${frame + 1}`, ...facts].join("; ");
  byId("slide-before").disabled = slide === 0;
  byId("slide-after").disabled = slide === slideCount - 1;
  byId("flip").disabled = view.other < 0;
  byId("flip").textContent = view.other < 0 ? "Flip" : `Flip with ${view.other + 1}`;
  byId("mark").setAttribute("aria-pressed", marks.has(slide));
  document.title = `Slide ${slide + 1}: ${film.title}`;
  renderSources(slide, scene, details);
}

function renderSources(slide, scene, details) {
  const kept = (details?.between ?? "-") !== "-";
  if (!kept) view.left = "frame";
  fill("beside", ...(kept ? SOURCES : SOURCES.slice(0, 1)).map(([name, title]) => {
    const isSmall = name === "frame" && details?.small;
    const src = isSmall ? files.smallFrame(slide) : sourceUrl(slide, name);
    const button = make("button", { type: "button" }, make("img", { src, alt: "" }), title);
    button.dataset.name = name;
    button.firstChild.style.aspectRatio = `${film.width} / ${film.height}`;
    button.setAttribute("aria-pressed", name === view.left);
    button.addEventListener("click", () => {
      view.left = name;
      view.flipping = false;
      for (const each of byId("beside").querySelectorAll("button")) {
        each.setAttribute("aria-pressed", each === button);
      }
      showPictures();
    });
    return button;
  }));
  if (!kept) {
    byId("beside").append(make("p", { className: "dim" }, slide === scene.middle
      ? "A middle is drawn freely: nothing is warped, and the mask frees the whole picture."
      : "Warped, mask and guide were not kept. Slides drawn with --save-interp show them here."));
  }
}

function sourceUrl(slide, name) {
  if (name === "frame") return files.frame(slide);
  const endings = { warped: `-${detailsOf(slide)?.between}`, mask: "-m", guide: "" };
  return files.between(slide, endings[name]);
}

function showPictures() {
  const { slide, other, flipping, flipped } = view;
  const missing = detailsOf(slide)?.state === "m";
  const otherMissing = other < 0 || detailsOf(other)?.state === "m";
  const box = byId("pictures");
  box.style.aspectRatio = `${film.width} / ${film.height}`;
  box.style.maxWidth = `calc(78vh * ${film.width / film.height})`;
  box.classList.toggle("flipping", flipping);
  setImage("left", sourceUrl(slide, view.left));
  setImage("right", missing ? null : files.slide(slide));
  setImage("other", flipping && !otherMissing ? files.slide(other) : null);
  const shownMissing = flipping && flipped ? otherMissing : missing;
  byId("gap").textContent = shownMissing && flipping ? "This slide is missing." : "";
  byId("left").style.visibility = flipping || missing ? "" : "visible";
  byId("left").hidden = flipping;
  byId("right").style.visibility = flipping && flipped ? "hidden" : "";
  byId("other").style.visibility = flipping && flipped ? "" : "hidden";
  byId("divider").hidden = flipping || missing;
  byId("slider").hidden = flipping || missing;
  byId("right").style.clipPath = flipping ? "" : `inset(0 0 0 ${byId("slider").value}%)`;
  byId("divider").style.left = `${byId("slider").value}%`;
  byId("flip").setAttribute("aria-pressed", flipping);
  if (flipping) {
    const shown = flipped ? other : slide;
    byId("left-name").textContent = `Slide ${shown + 1}`;
    byId("right-name").textContent = `F flips to ${(flipped ? slide : other) + 1}, Escape ends it`;
  } else {
    byId("left-name").textContent = view.left[0].toUpperCase() + view.left.slice(1);
    byId("right-name").textContent = missing ? "The slide is missing" : "Slide";
  }
}

function setImage(id, url) {
  const image = byId(id);
  if (!url) image.removeAttribute("src");
  else if (image.getAttribute("src") !== url) image.src = url;
}

function flip() {
  if (view.other < 0) return;
  if (view.flipping) view.flipped = !view.flipped;
  else Object.assign(view, { flipping: true, flipped: true });
  showPictures();
  showPosition();
  announce(`Slide ${(view.flipped ? view.other : view.slide) + 1}`);
}

function endFlip() {
  Object.assign(view, { flipping: false, flipped: false });
  showPictures();
  showPosition();
}

// The neighbour that a slide flips with: the next of its scene, or the previous one for the last; -1
// if there is none.
function neighbour(slide) {
  const scene = sceneOf(slide);
  if (slide + 1 < scene.stop) return slide + 1;
  return slide > scene.first ? slide - 1 : -1;
}

function moveDivider(event) {
  const box = byId("pictures").getBoundingClientRect();
  byId("slider").value = (100 * (event.clientX - box.left)) / box.width;
  showPictures();
}
