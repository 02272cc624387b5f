// A scene: its facts, and a strip with its slides.

// slide: the one that is shown. other: the neighbour that F shows instead, -1 if there is none.
const view = { slide: -1, other: -1, flipping: false, left: "frame" };

let shownScene = null;
const stripSheet = new Sheet(byId("strip"), true, (index) => {
  const slide = shownScene.first + index;
  const cell = make("a", { href: `#slide-${slide + 1}` });
  updateStripCell(cell, slide);
  return cell;
}, (width) => (width - 6) * shape + 27);

async function updateStripCell(cell, slide) {
  cell.classList.toggle("marked", marks.has(slide));
  if (slide === view.slide) cell.setAttribute("aria-current", "true");
  else cell.removeAttribute("aria-current");
  if (!cell.childElementCount) cell.append(picture(null, "", ""), make("strong", {}, `${slide + 1}`));
  if (!detailsOf(slide)) await blockOf(slide);
  const details = detailsOf(slide);
  if (!details) return;
  const missing = details.state === "m";
  cell.title = missing ? details.reason : slide === sceneOf(slide).middle ? "The middle" : "";
  const source = details.small ? files.small(slide) : missing ? "" : files.slide(slide);
  const shown = `${source} ${details.state} ${film.running}`;
  if (cell.dataset.shown === shown) return;
  cell.dataset.shown = shown;
  cell.firstChild.replaceWith(picture(source, ...(missing ? missingWords() : ["", ""])));
}

function updateStrip() {
  for (const [index, cell] of stripSheet.cells) updateStripCell(cell, shownScene.first + index);
}

function showScene(scene) {
  const isAnother = scene.first !== shownScene?.first || scene.slides !== shownScene?.slides;
  const isRenewed = scene !== shownScene;
  shownScene = scene;
  if (!isRenewed) return;
  byId("scene-facts").textContent =
    `Scene ${scene.number}: slides ${scene.first + 1} to ${scene.stop}, frames ${scene.start + 1} to ` +
    `${scene.start + scene.frames}, ${duration(scene.frames / film.rate)}; ` +
    `the middle is slide ${scene.middle + 1}; ${stateOfScene(scene)}`;
  link("scene-before", scene.number > 1 && `#scene-${scene.number - 1}`);
  link("scene-after", scene.number < scenes.length && `#scene-${scene.number + 1}`);
  if (isAnother) {
    stripSheet.current = 0;
    stripSheet.fill(scene.slides, Math.round(Math.max(70, Math.min(150, 84 / shape))));
    byId("strip").scrollLeft = 0;
  }
  renderCharts(scene);
}
