// The run: warnings, backends, settings, versions, and the runs before.

function renderRunView() {
  const run = film.runs[film.shown];
  renderWarnings();
  renderBackends(run);
  rows("settings", [["From", film.source], ["To", film.target], ...film.settings]);
  rows("versions", film.versions);
  byId("runs-part").hidden = film.runs.length === 0;
  fill("runs", ...film.runs.map(renderRun).reverse());
}

function renderWarnings() {
  byId("warnings").hidden = film.warnings.length === 0;
  fill("warnings", make("h3", {}, "Warnings of the last run"), make("ul", {},
    ...film.warnings.map(([at, text, times]) => make("li", {},
      make("time", {}, clock(at)), times > 1 ? `${text} (${whole.format(times)} times)` : text))));
}

function renderRun(run, index) {
  let end = "finished";
  if (!run.ended) end = film.running && index === film.runs.length - 1 ? "still running" : "it was killed";
  else if (run.outcome) end = `ended early: ${run.outcome}`;
  return make("li", {},
    `${moment(run.began)}: ${count(run.slides, "slide")} in ${duration(run.seconds)}; ${end}`);
}

function renderBackends(run) {
  byId("backends-part").hidden = film.backends.length === 0 || !run?.slides;
  byId("backends-key").hidden = !film.backends.some((backend) => backend.windows);
  fill("backends", ...film.backends.map((backend) => {
    const bars = (timeline) => timeline.map((share, index) =>
      share ? `M${index} ${100 - share}h1v${share}h-1z` : "").join("");
    const facts = [
      `${backend.busy} % busy`, count(backend.slides, "slide"),
      ...(backend.windows ? [count(backend.windows, "window"), `${short(backend.window_s)} s a window`] : []),
      ...(backend.seconds === null ? [] : [`${short(backend.seconds)} s a slide`]),
    ];
    return make("div", { className: "backend" },
      make("p", {}, make("strong", {}, backend.name),
        ...[...facts, backend.what].map((fact) => make("span", {}, fact))),
      makeSvg("svg", {
        viewBox: `0 0 ${backend.timeline.length || 1} 100`, preserveAspectRatio: "none", role: "img",
        "aria-label": `${backend.name} was busy ${backend.busy} % of the time`,
      }, makeSvg("path", { d: bars(backend.timeline) }),
      ...(backend.windows ? [makeSvg("path", { d: bars(backend.window_timeline), class: "windows" })] : [])));
  }), make("p", { className: "axis" },
    make("span", {}, "first slide started"),
    make("span", {}, `last slide drawn, after ${duration(run?.drawing ?? 0)}` +
      (run?.drawing ? ` (${short(run.slides / run.drawing)} slides a second)` : ""))));
}
