// Charts of how much each slide of a scene differs from the previous one.

const CHARTS = [
  ["flicker", "Flicker", "change of lightness that the film does not show (L*, 0 to 100)"],
  ["e_warp", "E_warp", "change that motion does not explain (mean square of colours 0 to 1, × 1000)"],
];

async function renderCharts(scene) {
  fill("charts", ...(scene.slides < 2 ? [] : CHARTS.map(([name]) => make("div", {
    className: `chart ${name}`,
  }))));
  if (scene.slides < 2) return;
  const loading = [];
  for (let slide = scene.first; slide < scene.stop; slide += film.block) loading.push(blockOf(slide));
  loading.push(blockOf(scene.stop - 1));
  await Promise.all(loading);
  if (scene !== shownScene) return;
  CHARTS.forEach(([name, title, unit], index) => {
    const values = [];
    for (let slide = scene.first + 1; slide < scene.stop; slide += 1) {
      values.push(detailsOf(slide)?.[name] ?? null);
    }
    renderChart(byId("charts").children[index], scene, title, unit, values);
  });
  showPosition();
}

// values: one for each slide from the scene's second on, null where it is unknown.
function renderChart(box, scene, title, unit, values) {
  const known = values.filter((value) => value !== null);
  const heading = make("p", {}, make("b", {}, title));
  box.replaceChildren(heading);
  if (!known.length) {
    heading.append(make("span", {}, "not measured: its slides have no thumbnails yet"));
    return;
  }
  const highest = known.reduce((most, value) => Math.max(most, value), 0);
  const order = values.map((value, index) => [value, index])
    .filter(([value]) => value !== null).sort((a, b) => b[0] - a[0]).slice(0, 4);
  const worst = order.map(([, index]) => {
    const after = scene.first + index + 1;
    return make("a", { href: `#pair-${after}` }, `${after}–${after + 1}`);
  });
  const reading = make("span", { role: "status" }, `${unit}; highest ${short(highest)}`);
  heading.append(reading, make("span", {}, "peaks between ", ...worst));

  const x = (index) => (1000 * (index + 0.5)) / values.length;
  const { line, area } = chartPaths(downsample(values, 1200), x, highest);
  const cursor = makeSvg("line", { class: "cursor", y1: 0, y2: 100, x1: -1, x2: -1 });
  const here = makeSvg("line", { class: "here", y1: 0, y2: 100, x1: -1, x2: -1 });
  const chart = makeSvg("svg", {
    viewBox: "0 0 1000 100", preserveAspectRatio: "none", tabindex: "0", role: "slider",
    "aria-label": `${title}: arrow keys move along it, Enter opens the two slides`,
    "aria-valuemin": scene.first + 2, "aria-valuemax": scene.stop,
  }, makeSvg("path", { class: "area", d: area }), makeSvg("path", { class: "line", d: line }),
  here, cursor);
  let at = 0;
  const point = (index) => {
    at = Math.max(0, Math.min(values.length - 1, index));
    const after = scene.first + at + 1;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(at));
    reading.textContent = `slides ${after} and ${after + 1}: ${short(values[at])}`;
    chart.setAttribute("aria-valuenow", after + 1);
    chart.setAttribute("aria-valuetext", reading.textContent);
  };
  const under = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left) / box.width) * values.length);
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
    for (const end of ["x1", "x2"]) here.setAttribute(end, x(at));
    chart.setAttribute("aria-valuenow", scene.first + at + 2);
  };
  box.append(chart);
}

// The SVG paths of the line and of the area below it. points: as `downsample` returns them.
function chartPaths(points, x, highest) {
  let line = "";
  let area = "";
  points.forEach(([index, value, stretch], place) => {
    const at = `${x(index).toFixed(2)} ${(96 - (highest ? (88 * value) / highest : 0)).toFixed(1)}`;
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
