// Charts of how much each slide of a scene differs from the previous one. All charts of a measure have
// one scale, that of the film, and their places are those of the strip above them.

const MOST_POINTS = 1200;

async function renderCharts(scene) {
  if (scene.slides < 2) {
    fill("charts");
    return;
  }
  await blocksOf(scene.first, scene.stop);
  if (scene !== shownScene) return;
  const boxes = MEASURES.map(([name]) => byId("charts").querySelector(`.${name}`) ??
    make("div", { className: `chart ${name}` }));
  const isMeasured = scene.severity >= 0;
  fill("charts", ...boxes, ...(isMeasured ? [chartAxis(scene)] : []));
  byId("charts").style.maxWidth = `${scene.slides * stripSheet.step}px`;
  MEASURES.forEach(([name, title], index) => {
    const values = [];
    for (let slide = scene.first + 1; slide < scene.stop; slide += 1) {
      values.push(detailsOf(slide)?.[name] ?? null);
    }
    renderChart(boxes[index], scene, name, title, values);
  });
  showPosition();
  showStripWindow();
}

// The highest value that charts of a measure show: calm films look calm, and what is far beyond what
// can be noticed is cut off.
function topOf(measure) {
  const noticeable = film.noticeable[measure];
  return Math.max(2 * noticeable, Math.min(5 * noticeable, film.highest[measure] ?? 0));
}

// values: one for each slide from the scene's second on, null where it is unknown.
function renderChart(box, scene, measure, title, values) {
  const known = values.filter((value) => value !== null);
  const before = box.querySelector("svg");
  const hadFocus = before && before === document.activeElement;
  const heading = make("p", {}, make("b", {}, title));
  box.replaceChildren(heading);
  if (!known.length) {
    heading.append(make("span", {}, "not measured: its slides have no thumbnails yet"));
    return;
  }
  const top = topOf(measure);
  const noticeable = film.noticeable[measure];
  const highest = known.reduce((most, value) => Math.max(most, value), 0);
  const peaks = values.map((value, index) => [value, index])
    .filter(([value]) => value).sort((a, b) => b[0] - a[0]).slice(0, 3);
  const links = peaks.map(([, index]) => {
    const after = scene.first + index + 1;
    return make("a", { href: `#pair-${after}` }, `${after}–${after + 1}`);
  });
  const reading = make("span", { role: "status" }, `highest ${short(highest)}, noticeable from ${noticeable}`);
  heading.append(reading);
  if (links.length) heading.append(make("span", { className: "peaks" }, "peaks ", ...links));

  const x = (index) => (1000 * (index + 1)) / scene.slides; // the border between two slides
  const y = (value) => 100 - (92 * Math.min(value, top)) / top;
  const { line, area } = chartPaths(downsample(values, MOST_POINTS), x, y);
  const upright = (name) => makeSvg("line", { class: name, y1: 0, y2: 100, x1: -1, x2: -1 });
  const [cursor, here] = [upright("cursor"), upright("here")];
  const chart = makeSvg("svg", {
    viewBox: "0 0 1000 100", preserveAspectRatio: "none", tabindex: "0", role: "slider",
    "aria-label": `${title}: arrow keys move along it, Enter opens the two slides`,
    "aria-valuemin": scene.first + 2, "aria-valuemax": scene.stop,
  }, makeSvg("rect", { class: "window", y: 0, height: 100, x: 0, width: 0 }),
  makeSvg("path", { class: "area", d: area }), makeSvg("path", { class: "line", d: line }),
  makeSvg("line", { class: "noticeable", x1: 0, x2: 1000, y1: y(noticeable), y2: y(noticeable) }),
  here, cursor);
  let at = 0;
  const point = (index) => {
    at = Math.max(0, Math.min(values.length - 1, index));
    const after = scene.first + at + 1;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(at));
    const value = values[at] === null ? "not measured" : short(values[at]);
    reading.textContent = `slides ${after} and ${after + 1}: ${value}`;
    chart.setAttribute("aria-valuenow", after + 1);
    chart.setAttribute("aria-valuetext", reading.textContent);
  };
  const under = (event) => {
    const edges = chart.getBoundingClientRect();
    return Math.round(((event.clientX - edges.left) / edges.width) * scene.slides) - 1;
  };
  const open = () => go(`#pair-${scene.first + at + 1}`);
  chart.addEventListener("pointermove", (event) => point(under(event)));
  chart.addEventListener("click", (event) => { point(under(event)); open(); });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -values.length, End: values.length }[event.key];
    if (step) point(at + step);
    else if (event.key === "Enter") open();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  chart.place = (slide) => {
    at = Math.max(0, Math.min(values.length - 1, slide - scene.first - 1));
    const middle = (1000 * (slide - scene.first + 0.5)) / scene.slides;
    const shown = view.flipping ? x(at) : middle;
    for (const end of ["x1", "x2"]) here.setAttribute(end, shown);
    chart.setAttribute("aria-valuenow", scene.first + at + 2);
  };
  box.append(chart, make("i", { className: "level", title: "noticeable from here" }, "noticeable"));
  box.lastChild.style.setProperty("--level", y(noticeable) / 100);
  if (hadFocus) chart.focus({ preventScroll: true });
}

// Slide numbers below the charts.
function chartAxis(scene) {
  const room = Math.min(byId("view-scene").clientWidth, scene.slides * stripSheet.step);
  const wanted = scene.slides / Math.max(1, Math.floor(room / 70));
  const power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= wanted) ?? 1;
  const axis = make("p", { className: "numbers" });
  axis.setAttribute("aria-hidden", "true");
  for (let slide = scene.first; slide < scene.stop; slide += 1) {
    if ((slide + 1) % step) continue;
    const number = make("span", {}, `${slide + 1}`);
    number.style.left = `${(100 * (slide - scene.first + 0.5)) / scene.slides}%`;
    axis.append(number);
  }
  return axis;
}

// The SVG paths of the line and of the area below it. points: as `downsample` returns them.
function chartPaths(points, x, y) {
  let line = "";
  let area = "";
  points.forEach(([index, value, stretch], place) => {
    const at = `${x(index).toFixed(2)} ${y(value).toFixed(1)}`;
    const joined = points[place - 1]?.[2] === stretch;
    line += `${joined ? "L" : "M"}${at}`;
    if (!joined) area += `${area ? "V100z" : ""}M${x(index).toFixed(2)} 100`;
    area += `L${at}`;
    if (points[place + 1]?.[2] !== stretch) line += "h0.01"; // shows a point without neighbours
  });
  return { line, area: `${area}V100z` };
}

// The known values as [index, value, stretch]; of many, only the highest of each step, so that no bad
// moment is lost. Points without a gap between them have the same stretch.
function downsample(values, most) {
  const step = Math.ceil(values.length / most);
  const points = [];
  let stretch = 0;
  for (let start = 0; start < values.length; start += step) {
    let best = -1;
    for (let index = start; index < Math.min(start + step, values.length); index += 1) {
      if (values[index] !== null && (best < 0 || values[index] > values[best])) best = index;
    }
    if (best < 0) stretch += 1;
    else points.push([best, values[best], stretch]);
  }
  return points;
}

// Mark the open slide, or the open pair, in the charts.
function showPosition() {
  for (const chart of byId("charts").querySelectorAll("svg")) {
    chart.place(view.flipping ? Math.max(view.slide, view.other) : view.slide);
  }
}

// Mark in the charts what the strip shows of a longer scene.
function showStripWindow() {
  const { scrollLeft, clientWidth } = byId("strip");
  const whole = stripSheet.count * stripSheet.step;
  for (const rect of byId("charts").querySelectorAll(".window")) {
    rect.setAttribute("x", (1000 * scrollLeft) / whole);
    rect.setAttribute("width", whole > clientWidth ? (1000 * clientWidth) / whole : 0);
  }
}
