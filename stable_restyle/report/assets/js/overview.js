// The overview: how far the film is, how to go on, its worst jumps, and its scenes.

const MEASURES = [ // what the page measures of each slide against the previous one
  ["flicker", "Brightness flicker"],
  ["unexplained", "Unexplained change"],
];

let order = []; // the scenes in the order in which they are listed

function stateOfScene(scene) {
  if (scene.missing === 0) return scene.fresh || !scene.kept ? "done" : "kept from an earlier run";
  const [words] = missingWords();
  return scene.missing === scene.slides ? words : `${whole.format(scene.missing)} ${words}`;
}

function classOfScene(scene) {
  if (scene.missing) return missingWords()[1];
  return scene.fresh ? "new" : "kept";
}

function sceneCell(index) {
  const scene = order[index];
  const words = [duration(scene.frames / film.rate), count(scene.slides, "slide")];
  const cell = make("a", { href: `#scene-${scene.number}` },
    picture(scene.picture === null ? null : files.small(scene.picture), "none yet", classOfScene(scene)),
    make("strong", {}, `Scene ${scene.number}`),
    make("span", {}, words.join(", ")),
    make("span", { className: `state ${classOfScene(scene)}` }, stateOfScene(scene)));
  if (scene.jumps) cell.append(make("em", {}, count(scene.jumps, "jump")));
  cell.addEventListener("focus", () => { sceneSheet.current = index; });
  return cell;
}

const sceneSheet = new Sheet(byId("scenes"), false, sceneCell, (width) => (width - 10) * shape + 92);

function renderOverview() {
  renderTotals();
  renderUnfinished();
  renderWorst();
  renderJoins();
  byId("order-part").hidden = scenes.length < 2 || !film.worst.length;
  renderScenes();
}

function renderScenes() {
  order = [...scenes];
  if (byId("order").value === "worst") order.sort((a, b) => b.severity - a.severity);
  sceneSheet.fill(scenes.length, Math.max(150, Math.min(250, 140 / shape)));
}

function renderTotals() {
  const total = { fresh: 0, kept: 0, missing: 0 };
  for (const scene of scenes) for (const state in total) total[state] += scene[state];
  const there = total.fresh + total.kept;
  byId("headline").textContent = total.missing === 0
    ? `All ${count(slideCount, "slide")} are drawn`
    : `${whole.format(there)} of ${count(slideCount, "slide")} are drawn`;
  const run = film.runs[film.shown];
  byId("facts").textContent = [
    duration(film.frames / film.rate), `${film.width}×${film.height}`, count(scenes.length, "scene"),
    ...(run?.slides ? [`drawn in ${duration(run.drawing)}`] : []), `updated ${moment(film.made)}`,
  ].join(" · ");
  byId("live").textContent = film.running ? `Drawing: ${whole.format(there)} of ${whole.format(slideCount)}` : "";
  const [words, className] = missingWords();
  const states = [
    ["new", total.fresh, "drawn in the last run"],
    ["kept", total.kept, "kept from earlier runs"],
    [className, total.missing, words],
  ].filter(([, number]) => number > 0);
  fill("meter", ...states.map(([name, number]) => {
    const part = make("div", { className: name });
    part.style.width = `${(100 * number) / slideCount}%`;
    return part;
  }));
  fill("states", ...states.map(([name, number, text]) =>
    make("li", { className: name }, `${whole.format(number)} ${text}`)));
  byId("warned").replaceChildren(...(film.warnings.length ? [make("a", { href: "#run" },
    `${count(film.warnings.length, "warning")} of the last run`)] : []));
}

// Why slides are missing, and the command that goes on.
function renderUnfinished() {
  byId("unfinished").hidden = !film.missing.length;
  byId("unfinished").classList.toggle("calm", film.running);
  byId("unfinished-title").textContent = film.running
    ? "The run is going on, and this page follows it" : "The run is not finished";
  fill("reasons", ...(film.running ? [] : film.missing.map(([number, reason]) =>
    make("li", {}, `${count(number, "slide")}: ${film.reasons[reason]}`))));
  byId("go-on-label").textContent = film.running
    ? "If it was stopped, this command goes on:" : "To go on, run the same command again:";
  byId("go-on").textContent = film.go_on;
  byId("go-on-note").textContent = commandNotes();
}

function commandNotes() {
  const notes = film.folder ? [`Run it in ${film.folder}.`] : [];
  if (film.secrets) {
    notes.push("Add the user, password, query or --header that the servers need; the page has none of these.");
  }
  return notes.join(" ");
}

// A value of a measure as a multiple of what can be noticed.
const multiple = (measure, value) => value / film.noticeable[measure];

function renderWorst() {
  byId("worst-part").hidden = film.worst.length === 0;
  byId("worst-title").textContent = film.jumps
    ? `${count(film.jumps, "jump")} found` : `No jump found${film.missing.length ? " so far" : ""}`;
  byId("worst-note").textContent =
    "Where slides change more than the film does, the worst place first. From 1× on, it is noticeable.";
  fill("worst", ...film.worst.map(([slide, flicker, unexplained]) => {
    const values = { flicker, unexplained };
    const [[measure, name]] = [...MEASURES].sort(([a], [b]) => multiple(b, values[b]) - multiple(a, values[a]));
    const times = multiple(measure, values[measure]);
    return make("li", {}, make("a", { href: `#pair-${slide}`, className: times >= 1 ? "jump" : "" },
      make("div", { className: "two" }, ...[slide - 1, slide].map((each) => picture(files.small(each)))),
      make("strong", {}, `Slides ${slide} and ${slide + 1}`),
      make("span", {}, `Scene ${sceneOf(slide).number}, ${clock(slide / rate)}`),
      make("span", {}, `${name}: ${times.toFixed(1)}×`)));
  }));
}

// Where windows of --fill meet their keys, and those of --finish each other.
function renderJoins() {
  showJoins("joins", film.joins, film.worst_joins, "of windows and keys",
    "How far the model's picture of a key is from that key, in levels of 255: with the colours of the window " +
    "corrected, and before. The worst place first.", "before");
  showJoins("blends", film.blends, film.worst_blends, "between windows of --finish",
    "How far the pictures that two windows have of the same slides are from each other, in levels of 255: " +
    "from slide to slide as they are blended, and in all. The worst place first.", "in all");
}

function showJoins(id, number, worst, where, note, other) {
  byId(`${id}-part`).hidden = !number;
  byId(`${id}-title`).textContent = `${count(number, "join")} ${where}`;
  byId(`${id}-note`).textContent = note;
  fill(id, ...worst.map(([slide, before, after]) =>
    make("li", {}, make("a", { href: `#pair-${slide}` },
      make("div", { className: "two" }, ...[slide - 1, slide].map((each) => picture(files.small(each)))),
      make("strong", {}, `Slides ${slide} and ${slide + 1}`),
      make("span", {}, `Scene ${sceneOf(slide).number}, ${clock(slide / rate)}`),
      make("span", {}, `${after.toFixed(1)} levels, ${before.toFixed(1)} ${other}`)))));
}
