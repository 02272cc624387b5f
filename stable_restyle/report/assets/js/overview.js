// The overview: the state of the film, its scenes, backends, settings and runs.

function stateOfScene(scene) {
  if (scene.missing === 0) return scene.fresh || !scene.kept ? "done" : "kept from an earlier run";
  const missing = scene.missing === scene.slides ? "not drawn" : `${whole.format(scene.missing)} missing`;
  return `${missing}: ${film.reasons[scene.reason]}`;
}

function sceneCell(index) {
  const scene = scenes[index];
  const missing = scene.missing > 0;
  const state = make("span", {
    className: `state ${missing ? "missing" : scene.fresh ? "new" : "kept"}`,
  }, stateOfScene(scene));
  const cell = make("a", { href: `#scene-${scene.number}`, title: missing ? stateOfScene(scene) : "" },
    picture(scene.picture === null ? null : files.small(scene.picture), "none yet", missing),
    make("strong", {}, `Scene ${scene.number}`),
    make("span", {}, `${duration(scene.frames / film.rate)}, ${count(scene.slides, "slide")}`),
    state);
  cell.addEventListener("focus", () => { sceneSheet.current = index; });
  return cell;
}

function rows(id, pairs) {
  fill(id, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

const sceneSheet = new Sheet(byId("scenes"), false, sceneCell, (width) => (width - 10) * shape + 88);

function renderOverview() {
  const run = film.runs[film.shown];
  renderTotals();
  renderFacts(run);
  renderWarnings();
  renderBackends(run);
  rows("settings", [["From", film.source], ["To", film.target], ...film.settings]);
  rows("versions", film.versions);
  byId("runs-part").hidden = film.runs.length === 0;
  fill("runs", ...film.runs.map(renderRun).reverse());
  sceneSheet.fill(scenes.length, Math.max(150, Math.min(250, 140 / shape)));
}

function renderTotals() {
  const total = { fresh: 0, kept: 0, missing: 0 };
  for (const scene of scenes) for (const state in total) total[state] += scene[state];
  const there = total.fresh + total.kept;
  byId("headline").textContent = total.missing === 0
    ? `All ${count(slideCount, "slide")} are drawn`
    : `${whole.format(there)} of ${count(slideCount, "slide")} are drawn`;
  const states = [
    ["new", total.fresh, "drawn in the last run"],
    ["kept", total.kept, "kept from earlier runs"],
    ["missing", total.missing, "missing"],
  ].filter(([, number]) => number > 0);
  fill("meter", ...states.map(([className, number]) => {
    const part = make("div", { className });
    part.style.width = `${(100 * number) / slideCount}%`;
    return part;
  }));
  fill("states", ...states.map(([className, number, words]) =>
    make("li", { className }, `${whole.format(number)} ${words}`)));
}

function renderFacts(run) {
  const facts = [
    ["Film", `${duration(film.frames / film.rate)}, ${film.width}×${film.height}`],
    ["Scenes", whole.format(scenes.length)],
  ];
  if (run && run.slides) {
    facts.push(
      ["Time of the last run", duration(run.seconds)],
      ["Drawing", run.drawing ? `${short(run.slides / run.drawing)} slides a second` : "at once"],
    );
  }
  facts.push(["As of", moment(film.made)]);
  fill("facts", ...facts.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function renderWarnings() {
  if (!film.warnings.length) return;
  fill("warnings", make("h3", {}, "Warnings of the last run"), make("ul", {},
    ...film.warnings.map(([at, text, times]) => make("li", {},
      make("time", {}, clock(at)), times > 1 ? `${text} (${whole.format(times)} times)` : text))));
}

function renderRun(run) {
  let end = "finished";
  if (!run.ended) end = "not ended when this page was written: still running, or killed";
  else if (run.outcome) end = `ended early: ${run.outcome}`;
  return make("li", {},
    `${moment(run.began)}: ${count(run.slides, "slide")} in ${duration(run.seconds)}; ${end}`);
}

function renderBackends(run) {
  byId("backends-part").hidden = film.backends.length === 0 || !run?.slides;
  fill("backends", ...film.backends.map((backend) => {
    const bars = backend.timeline.map((share, index) =>
      share ? `M${index} ${100 - share}h1v${share}h-1z` : "").join("");
    const facts = [
      `${backend.busy} % busy`, count(backend.slides, "slide"),
      ...(backend.seconds === null ? [] : [`${short(backend.seconds)} s a slide`]),
    ];
    return make("div", { className: "backend" },
      make("p", {}, make("strong", {}, backend.name),
        ...[...facts, backend.what].map((fact) => make("span", {}, fact))),
      makeSvg("svg", {
        viewBox: `0 0 ${backend.timeline.length || 1} 100`, preserveAspectRatio: "none", role: "img",
        "aria-label": `${backend.name} was busy ${backend.busy} % of the time`,
      }, makeSvg("path", { d: bars })));
  }), make("p", { className: "axis" },
    make("span", {}, "first slide started"),
    make("span", {}, `last slide drawn, after ${duration(run?.drawing ?? 0)}`)));
}
