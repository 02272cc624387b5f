// The open slide: its facts, and comparisons with its sources and its neighbour.

// Whether a frame can be shown only as its thumbnail: frames of a film need not be on disk.
const isThumbnail = (name) => name === "frame" && !film.paths.frames;

// The pictures that can be shown to the left of the slide: names, titles, what they are, and whether a
// slide has them.
const SOURCES = [
  ["frame", "Frame", "", () => true],
  ["warped", "Warped", "Warped: the previous slide, moved to this frame.", isBetween],
  ["mask", "Mask", "Mask: white is what does not come from the previous slide.", isBetween],
  ["guide", "Guide", "Guide: what the model started from.", (details) => details.guide],
  ["answer", "Answer", "Answer: what the model drew of this frame alone.", (details) => details.answer],
];

function isBetween(details) {
  return details.between !== "-";
}

const slideWipe = new Wipe(byId("pictures"), byId("layers"), byId("slider"), byId("divider"));

async function showSlide(slide, other, flipping) {
  const scene = sceneOf(slide);
  Object.assign(view, { slide, other, flipping });
  showScene(scene);
  await Promise.all([slide, other].filter((each) => each >= 0 && !detailsOf(each)).map(blockOf));
  if (view.slide !== slide) return;
  stripSheet.show(slide - scene.first);
  updateStrip();
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
  const { slide, other } = view;
  const scene = sceneOf(slide);
  const details = detailsOf(slide);
  const frame = slide * film.frames_per_slide;
  byId("slide-title").textContent = `Slide ${slide + 1}`;
  byId("slide-place").textContent =
    `Scene ${scene.number} of ${whole.format(scenes.length)}, ${clock(frame / film.rate)}`;
  document.title = `Slide ${slide + 1}: ${film.title}`;
  byId("slide-before").disabled = slide === 0;
  byId("slide-after").disabled = slide === slideCount - 1;
  byId("flip").disabled = other < 0;
  press("mark", marks.has(slide));
  link("slide-play", `#play-${slide + 1}`);
  rows("slide-facts", [["Frame", whole.format(frame + 1)], ...factsOf(slide, details)]);
  renderSources(slide, scene, details);
}

const ends = ([first, last]) => `${whole.format(first + 1)} to ${whole.format(last + 1)}`;

function factsOf(slide, details) {
  if (!details) return [["Details", "cannot be read"]];
  const facts = [];
  if (details.state === "m") facts.push([film.running ? "State" : "Missing", details.reason]);
  if (slide === sceneOf(slide).middle) facts.push(["Place", "middle of the scene"]);
  if (details.given) facts.push(["Origin", "your own picture (--given)"]);
  else if (details.window) facts.push(["Origin", `window of slides ${ends(details.window)} (--fill)`]);
  else if (details.by === "") facts.push(["Origin", "filled from its keys"]);
  else if (details.by) facts.push(["Drawn by", details.by]);
  if (details.state !== "m" && details.seconds !== null) facts.push(["Drawn in", duration(details.seconds)]);
  if (details.state === "k") facts.push(["Run", "an earlier one"]);
  if (details.seed !== undefined) facts.push(["Drawn again", `with seed ${details.seed}`]);
  for (const [measure, name] of MEASURES) {
    const value = details[measure];
    if (value === null) continue;
    facts.push([name, value < film.noticeable[measure] ? short(value) : `${short(value)}, noticeable`]);
  }
  return facts;
}

function renderSources(slide, scene, details) {
  const its = SOURCES.filter(([, , , has]) => has(details ?? { between: "-" }));
  if (!its.some(([name]) => name === view.left)) view.left = "frame";
  const focused = document.activeElement.dataset.name;
  fill("sources", ...its.map(([name, title, words]) => {
    const isSmall = name === "frame" && details?.small;
    const src = isSmall ? files.smallFrame(slide) : sourceUrl(slide, name);
    const button = make("button", { type: "button", title: words }, make("img", { src, alt: "" }), title);
    button.dataset.name = name;
    button.firstChild.style.aspectRatio = `${film.width} / ${film.height}`;
    button.addEventListener("click", () => {
      view.left = name;
      view.flipping = false;
      showPictures();
    });
    return button;
  }));
  byId("sources").querySelector(`[data-name="${focused}"]`)?.focus({ preventScroll: true });
}

// What the picture on the left is, or why there are no more of them.
function sourcesNote() {
  const words = SOURCES.find(([name]) => name === view.left)[2];
  if (isThumbnail(view.left)) return "The frame is a thumbnail, enlarged; with --keep-frames it is in full.";
  if (words || byId("sources").childElementCount > 2) return words;
  return view.slide === sceneOf(view.slide).middle
    ? "A middle is drawn freely: nothing is warped, and the mask frees the whole picture."
    : "Warped pictures and masks were not kept. Slides drawn with --save-interp show them here.";
}

function sourceUrl(slide, name) {
  if (name === "frame") return files.frame(slide);
  if (name === "answer") return files.answer(slide);
  const endings = { warped: `-${detailsOf(slide)?.between}`, mask: "-m", guide: "" };
  return files.between(slide, endings[name]);
}

// Neighbours have an element each, so that they flip without loading anything.
const elementOf = (slide) => byId(slide % 2 ? "odd" : "even");

function showPictures() {
  const { slide, other, flipping } = view;
  const missing = isMissing(slide);
  const [shown, hidden] = [elementOf(slide), elementOf(slide + 1)];
  setImage(byId("left"), sourceUrl(slide, view.left));
  setImage(shown, missing ? null : files.slide(slide));
  setImage(hidden, other < 0 || isMissing(other) ? null : files.slide(other));
  hidden.style.visibility = "hidden";
  shown.style.visibility = missing ? "hidden" : "";
  byId("left").style.visibility = flipping ? "hidden" : "";
  byId("gap").textContent = missing && flipping ? `Slide ${slide + 1}: ${missingWords()[0]}` : "";
  byId("pictures").classList.toggle("flipping", flipping);
  slideWipe.set(!flipping && !missing, [shown]);
  press("flip", flipping);
  byId("sources-note").textContent = sourcesNote();
  for (const button of byId("sources").children) {
    button.setAttribute("aria-pressed", !flipping && button.dataset.name === view.left);
  }
  const sourceName = view.left === "frame"
    ? `Frame ${slide * film.frames_per_slide + 1}` : view.left[0].toUpperCase() + view.left.slice(1);
  const kind = isThumbnail(view.left) ? "thumbnail" : "PNG";
  byId("left-name").textContent = flipping ? `F: slide ${other + 1}` : `${sourceName} (${kind})`;
  link("left-name", !flipping && sourceUrl(slide, view.left));
  byId("right-name").textContent = missing ? `Slide ${slide + 1}: ${missingWords()[0]}` : `Slide ${slide + 1} (PNG)`;
  link("right-name", !missing && files.slide(slide));
  showZoom();
}

function setImage(image, url) {
  if (!url) image.removeAttribute("src");
  else if (image.getAttribute("src") !== url) image.src = url;
}

// Show the pictures as large as they fit, or a pixel of them on so many of the screen's.
function showZoom() {
  const zoom = Number(byId("zoom").value);
  const { style } = byId("layers");
  const image = elementOf(view.slide);
  const width = image.naturalWidth || film.width;
  const height = image.naturalHeight || film.height;
  byId("pictures").classList.toggle("zoomed", zoom > 0);
  style.width = zoom ? `${(zoom * width) / devicePixelRatio}px` : "";
  style.height = zoom ? `${(zoom * height) / devicePixelRatio}px` : "";
  style.imageRendering = zoom > 1 ? "pixelated" : "";
  slideWipe.draw();
}

// Zoom, and keep what is in the middle of the view there.
function setZoom(zoom) {
  const box = byId("pictures");
  const middle = (start, seen, all) => (start + seen / 2) / all;
  const x = middle(box.scrollLeft, box.clientWidth, box.scrollWidth);
  const y = middle(box.scrollTop, box.clientHeight, box.scrollHeight);
  byId("zoom").value = zoom;
  showZoom();
  box.scrollLeft = x * box.scrollWidth - box.clientWidth / 2;
  box.scrollTop = y * box.scrollHeight - box.clientHeight / 2;
  slideWipe.draw();
}

// Show the neighbour in place of the slide; everything else follows.
function flip() {
  if (view.other < 0) return;
  showSlide(view.other, view.slide, true);
  rename(`#slide-${view.slide + 1}`);
  announce(`Slide ${view.slide + 1}`);
}

function endFlip() {
  view.flipping = false;
  rename(`#slide-${view.slide + 1}`);
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

// Dragging moves the border; zoomed in, it moves the pictures, unless it begins at the border.
function beginDragging() {
  const box = byId("pictures");
  let last = null;
  onDrag(box, (event) => {
    const near = Math.abs(event.clientX - byId("divider").getBoundingClientRect().left) < 16;
    const pans = box.classList.contains("zoomed") && !(slideWipe.isOn && near);
    last = pans ? event : null;
    if (!pans && view.flipping) flip();
    return pans || slideWipe.isOn;
  }, (event) => {
    if (!last) return slideWipe.moveTo(event);
    box.scrollLeft += last.clientX - event.clientX;
    box.scrollTop += last.clientY - event.clientY;
    last = event;
    return slideWipe.draw();
  });
  elementOf(0).addEventListener("load", showZoom);
  elementOf(1).addEventListener("load", showZoom);
}
