// A scene: its facts, and a strip with its slides.

const view = { slide: -1, other: -1, flipped: false, flipping: false, left: "frame" };

const stripSheet = new Sheet(byId("strip"), true, (index) => {
  const slide = shownScene.first + index;
  const cell = make("a", { href: `#slide-${slide + 1}` });
  updateStripCell(cell, slide);
  return cell;
}, (width) => (width - 6) * shape + 30);
let shownScene = null;

async function updateStripCell(cell, slide) {
  cell.classList.toggle("marked", marks.has(slide));
  if (slide === view.slide) cell.setAttribute("aria-current", "true");
  else cell.removeAttribute("aria-current");
  if (cell.childElementCount) return;
  cell.append(picture(null, "", false), make("strong", {}, `${slide + 1}`));
  if (!detailsOf(slide)) await blockOf(slide);
  const details = detailsOf(slide);
  if (!details) return;
  const missing = details.state === "m";
  cell.title = missing ? details.reason : slide === sceneOf(slide).middle ? "The middle" : "";
  const source = details.small ? files.small(slide) : missing ? null : files.slide(slide);
  cell.firstChild.replaceWith(picture(source, "missing", missing));
}

function showScene(scene) {
  if (scene === shownScene) return;
  shownScene = scene;
  byId("scene-title").textContent = `Scene ${scene.number} of ${whole.format(scenes.length)}`;
  byId("scene-facts").textContent =
    `Slides ${scene.first + 1} to ${scene.stop}, frames ${scene.start + 1} to ` +
    `${scene.start + scene.frames}, ${duration(scene.frames / film.rate)}; ` +
    `the middle is ${scene.middle + 1}; ${stateOfScene(scene)}`;
  link("scene-before", scene.number > 1 && `#scene-${scene.number - 1}`);
  link("scene-after", scene.number < scenes.length && `#scene-${scene.number + 1}`);
  link("scene-play", `#play-${scene.first + 1}`);
  stripSheet.current = 0;
  stripSheet.fill(scene.slides, Math.round(Math.max(70, Math.min(150, 84 / shape))));
  byId("strip").scrollLeft = 0;
  renderCharts(scene);
}
