// The report page: shows what report.py tells of a film. Everything that it is told is shown as text,
// never as HTML. Slides are counted from 0 here, as in the program; people read the number in the
// file's name, one more. What is told of single slides is loaded in blocks, as it is looked at.
"use strict";

const film = JSON.parse(document.getElementById("film").textContent);

// Scenes with the places of their frames and slides in the film.
const scenes = [];
for (const [frames, slides, middle, fresh, missing, picture, reason] of film.scenes) {
  const before = scenes.at(-1);
  const start = before ? before.start + before.frames : 0;
  const first = before ? before.stop : 0;
  scenes.push({
    number: scenes.length + 1, start, frames, first, stop: first + slides, slides,
    middle: first + middle, fresh, kept: slides - fresh - missing, missing, reason,
    picture: picture < 0 ? null : first + picture,
  });
}
const slideCount = scenes.at(-1).stop;
const rate = film.rate / film.fps; // slides a second

// Elements.

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children);
}

function link(id, hash) {
  if (hash) byId(id).setAttribute("href", hash);
  else byId(id).removeAttribute("href");
}

// Numbers as people read them.

const whole = new Intl.NumberFormat("en");
const count = (number, what) => `${whole.format(number)} ${what}${number === 1 ? "" : "s"}`;
const short = (number) => (number === null ? "unknown" : String(Number(number.toPrecision(3))));
const fileName = (index) => String(index + 1).padStart(6, "0");

function duration(seconds) {
  const rounded = Math.round(seconds);
  if (seconds < 10) return `${short(Math.round(seconds * 100) / 100)} s`;
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  const minutes = Math.round(rounded / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const tenths = Math.floor(seconds * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, {
    dateStyle: "medium", timeStyle: "short",
  });
}

// Runs of numbers as the command line takes them: 12,40-46.
function ranges(numbers) {
  const parts = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

// What is known of single slides.

const blocks = new Map(); // index -> promise of a block
const arrived = new Map(); // index -> block
const waiting = new Map(); // index -> what to call with it

function take(index, block) {
  arrived.set(index, block);
  waiting.get(index)?.(block);
}

// The block that tells of a slide. One that cannot be loaded tells nothing.
function blockOf(slide) {
  const index = Math.floor(slide / film.block);
  if (!blocks.has(index)) {
    blocks.set(index, new Promise((resolve) => {
      waiting.set(index, resolve);
      const script = make("script", { src: `${film.paths.report}slides-${index}.js` });
      script.onerror = () => resolve(null);
      document.head.append(script);
    }));
  }
  return blocks.get(index);
}

// What is told of a slide, or null while its block has not arrived.
function told(slide) {
  const index = Math.floor(slide / film.block);
  const block = arrived.get(index);
  if (!block) return null;
  const at = slide - index * film.block;
  return {
    state: block.state[at],
    small: block.small[at] === "1",
    between: block.between[at],
    seconds: block.seconds[at],
    by: block.by[at] === null ? null : film.names[block.by[at]],
    flicker: block.flicker[at],
    e_warp: block.e_warp[at] === null ? null : 1000 * block.e_warp[at],
    seed: block.seed[slide],
    reason: film.reasons[block.reason[slide]],
  };
}

function sceneOf(slide) {
  let low = 0;
  let high = scenes.length - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1;
    if (scenes[half].first <= slide) low = half;
    else high = half - 1;
  }
  return scenes[low];
}

const files = {
  small: (slide) => `${film.paths.report}slides/${fileName(slide)}.jpg`,
  smallFrame: (slide) => `${film.paths.report}frames/${fileName(slide)}.jpg`,
  slide: (slide) => `${film.paths.slides}${fileName(slide)}.png`,
  frame: (slide) => `${film.paths.frames}${fileName(slide * film.fps)}.png`,
  between: (slide, ending) => `${film.paths.between}${fileName(slide)}${ending}.png`,
};

// A sheet of cells in a box that scrolls, of which only those in sight are in the document. It has
// one row (across), or as many columns as there is room for.
class Sheet {
  // cell: makes the cell of an index. heightOf: the height of cells of a width.
  constructor(box, across, cell, heightOf) {
    Object.assign(this, { box, across, cell, heightOf, count: 0, width: 1, current: 0 });
    this.sheet = make("div", { className: "sheet" });
    this.cells = new Map();
    box.replaceChildren(this.sheet);
    box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    box.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  fill(count, width) {
    Object.assign(this, { count, width, current: Math.min(this.current, count - 1) });
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.draw();
  }

  get columns() {
    return this.across ? this.count : Math.max(2, Math.floor(this.box.clientWidth / this.width));
  }

  // The width of a cell: what the columns leave over is shared among them.
  get step() {
    return this.across ? this.width : Math.floor(this.box.clientWidth / this.columns);
  }

  get height() {
    return Math.ceil(this.heightOf(this.step));
  }

  draw() {
    const { box, columns, step, height, count } = this;
    if (!box.clientWidth || !count) return;
    const rows = Math.ceil(count / columns);
    this.sheet.style.width = `${Math.min(columns, count) * step}px`;
    this.sheet.style.height = `${rows * height}px`;
    let from = 0;
    let to = count;
    if (this.across) {
      from = Math.max(0, Math.floor(box.scrollLeft / step) - 2);
      to = Math.min(count, Math.ceil((box.scrollLeft + box.clientWidth) / step) + 2);
    } else {
      from = Math.max(0, Math.floor(box.scrollTop / height) - 1) * columns;
      to = Math.min(count, (Math.ceil((box.scrollTop + box.clientHeight) / height) + 1) * columns);
    }
    for (const [index, cell] of this.cells) {
      if ((index < from || index >= to) && cell !== document.activeElement) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    for (let index = from; index < to; index += 1) {
      let cell = this.cells.get(index);
      if (!cell) {
        cell = this.cell(index);
        cell.classList.add("cell");
        this.cells.set(index, cell);
        this.sheet.append(cell);
      }
      cell.style.width = `${step}px`;
      cell.style.transform =
        `translate(${(index % columns) * step}px, ${Math.floor(index / columns) * height}px)`;
      cell.tabIndex = index === this.current ? 0 : -1;
    }
  }

  // Bring a cell into sight and make it the one that Tab leads to.
  show(index) {
    this.current = index;
    const { box, columns, step, height } = this;
    if (this.across) {
      box.scrollLeft = index * step - (box.clientWidth - step) / 2;
    } else {
      const top = Math.floor(index / columns) * height;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + height > box.scrollTop + box.clientHeight) {
        box.scrollTop = top + height - box.clientHeight;
      }
    }
    this.draw();
  }

  walk(event) {
    const down = this.across ? 0 : this.columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -down, ArrowDown: down,
      Home: -this.count, End: this.count,
    };
    const step = event.altKey || event.ctrlKey || event.metaKey ? 0 : steps[event.key] ?? 0;
    if (!step || this.across) return;
    event.preventDefault();
    this.show(Math.max(0, Math.min(this.count - 1, this.current + step)));
    this.cells.get(this.current).focus({ preventScroll: true });
  }
}

// Overview.

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

// A small picture, or words in its place.
function picture(source, words, missing) {
  const box = make("div", { className: "picture" });
  box.style.aspectRatio = `${film.width} / ${film.height}`;
  if (source) {
    box.append(make("img", { src: source, alt: "", decoding: "async" }));
  } else {
    box.classList.add("none");
    box.classList.toggle("missing", missing);
    box.textContent = words;
  }
  return box;
}

function rows(id, pairs) {
  fill(id, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

const shape = film.height / film.width;
const sceneSheet = new Sheet(byId("scenes"), false, sceneCell, (width) => (width - 10) * shape + 88);

function tellOverview() {
  const total = { fresh: 0, kept: 0, missing: 0 };
  for (const scene of scenes) for (const state in total) total[state] += scene[state];
  const there = total.fresh + total.kept;
  byId("headline").textContent = total.missing === 0
    ? `All ${count(slideCount, "slide")} are drawn`
    : `${whole.format(there)} of ${count(slideCount, "slide")} are drawn`;
  const states = [
    ["new", total.fresh, "drawn in the last run"],
    ["kept", total.kept, "kept from earlier"],
    ["missing", total.missing, "missing"],
  ].filter(([, number]) => number > 0);
  fill("meter", ...states.map(([className, number]) => {
    const part = make("div", { className });
    part.style.width = `${(100 * number) / slideCount}%`;
    return part;
  }));
  fill("states", ...states.map(([className, number, words]) =>
    make("li", { className }, `${whole.format(number)} ${words}`)));

  const run = film.runs[film.shown];
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

  if (film.warnings.length) {
    fill("warnings", make("h3", {}, `Warnings of the last run`), make("ul", {},
      ...film.warnings.map(([at, text, times]) => make("li", {},
        make("time", {}, clock(at)), times > 1 ? `${text} (${whole.format(times)} times)` : text))));
  }
  tellBackends(run);
  rows("settings", [["From", film.source], ["To", film.target], ...film.settings]);
  rows("versions", film.versions);
  byId("runs-part").hidden = film.runs.length === 0;
  fill("runs", ...film.runs.map(tellRun).reverse());
  sceneSheet.fill(scenes.length, Math.max(150, Math.min(250, 140 / shape)));
}

function tellRun(run) {
  let end = "came to its end";
  if (!run.ended) end = "had not ended as of this page: it goes on, or was killed";
  else if (run.outcome) end = `ended early: ${run.outcome}`;
  return make("li", {},
    `${moment(run.began)}: ${count(run.slides, "slide")} in ${duration(run.seconds)}; ${end}`);
}

function tellBackends(run) {
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
      drawn("svg", {
        viewBox: `0 0 ${backend.timeline.length || 1} 100`, preserveAspectRatio: "none", role: "img",
        "aria-label": `${backend.name} was busy ${backend.busy} % of the time`,
      }, drawn("path", { d: bars })));
  }), make("p", { className: "axis" },
    make("span", {}, "first slide begun"),
    make("span", {}, `last slide drawn, after ${duration(run?.drawing ?? 0)}`)));
}

// A scene, and the slide of it that is open.

const view = { slide: -1, other: -1, flipped: false, flipping: false, left: "frame" };

const stripSheet = new Sheet(byId("strip"), true, (index) => {
  const slide = shownScene.first + index;
  const cell = make("a", { href: `#slide-${slide + 1}` });
  dressStripCell(cell, slide);
  return cell;
}, (width) => (width - 6) * shape + 30);
let shownScene = null;

async function dressStripCell(cell, slide) {
  cell.classList.toggle("marked", marks.has(slide));
  if (slide === view.slide) cell.setAttribute("aria-current", "true");
  else cell.removeAttribute("aria-current");
  if (cell.childElementCount) return;
  cell.append(picture(null, "", false), make("strong", {}, `${slide + 1}`));
  if (!told(slide)) await blockOf(slide);
  const its = told(slide);
  if (!its) return;
  const missing = its.state === "m";
  cell.title = missing ? its.reason : slide === sceneOf(slide).middle ? "The middle" : "";
  const source = its.small ? files.small(slide) : missing ? null : files.slide(slide);
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
  tellCharts(scene);
}

// Lines of how much each slide differs from the one before it.

const CHARTS = [
  ["flicker", "Flicker", "lightness that jumps where the film's does not (L*, of 100)"],
  ["e_warp", "E_warp", "what changes that motion does not explain (mean square of colours 0 to 1, × 1000)"],
];

async function tellCharts(scene) {
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
      values.push(told(slide)?.[name] ?? null);
    }
    tellChart(byId("charts").children[index], scene, title, unit, values);
  });
  showPlace();
}

// values: of the slides from the scene's second on.
function tellChart(box, scene, title, unit, values) {
  const known = values.filter((value) => value !== null);
  const heading = make("p", {}, make("b", {}, title));
  box.replaceChildren(heading);
  if (!known.length) {
    heading.append(make("span", {}, "not measured: its slides have no small pictures yet"));
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
  heading.append(reading, make("span", {}, "most between ", ...worst));

  const points = thinned(values, 1200);
  const x = (index) => (1000 * (index + 0.5)) / values.length;
  const y = (value) => 96 - (highest ? (88 * value) / highest : 0);
  let line = "";
  let area = "";
  points.forEach(([index, value], place) => {
    const joined = place > 0 && points[place - 1][2] === points[place][2];
    line += `${joined ? "L" : "M"}${x(index).toFixed(2)} ${y(value).toFixed(1)}`;
    if (!joined) area += `${area ? "V100z" : ""}M${x(index).toFixed(2)} 100`;
    area += `L${x(index).toFixed(2)} ${y(value).toFixed(1)}`;
    if (place === points.length - 1 || points[place + 1][2] !== points[place][2]) {
      line += "h0.01"; // a point without neighbours is seen too
    }
  });
  const cursor = drawn("line", { class: "cursor", y1: 0, y2: 100, x1: -1, x2: -1 });
  const here = drawn("line", { class: "here", y1: 0, y2: 100, x1: -1, x2: -1 });
  const chart = drawn("svg", {
    viewBox: "0 0 1000 100", preserveAspectRatio: "none", tabindex: "0", role: "slider",
    "aria-label": `${title}: arrow keys walk along it, Enter opens the two slides`,
    "aria-valuemin": scene.first + 2, "aria-valuemax": scene.stop,
  }, drawn("path", { class: "area", d: `${area}V100z` }), drawn("path", { class: "line", d: line }),
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

// [index, value, stretch] of what is known; of many values only the highest of each step, so that
// no bad moment is lost. Stretches without a gap have the same number.
function thinned(values, most) {
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

// Where the open slide, or the open pair, is on the lines.
function showPlace() {
  for (const chart of byId("charts").querySelectorAll("svg")) {
    chart.place(view.flipping ? Math.max(view.slide, view.other) : view.slide);
  }
}

// The open slide.

async function showSlide(slide, other, flipping) {
  const scene = sceneOf(slide);
  showScene(scene);
  Object.assign(view, { slide, other, flipping, flipped: false });
  await Promise.all([slide, other].filter((each) => each >= 0 && !told(each)).map(blockOf));
  if (view.slide !== slide) return;
  stripSheet.show(slide - scene.first);
  for (const [index, cell] of stripSheet.cells) dressStripCell(cell, scene.first + index);
  tellSlide();
  showPictures();
  showPlace();
  for (const near of [slide + 1, slide - 1]) { // so that the next step is at once
    if (near >= scene.first && near < scene.stop && "nk".includes(told(near)?.state)) {
      new Image().src = files.slide(near);
    }
  }
}

function tellSlide() {
  const { slide } = view;
  const scene = sceneOf(slide);
  const its = told(slide);
  const facts = [];
  if (slide === scene.middle) facts.push("the middle of the scene");
  if (its?.state === "m") facts.push(`missing: ${its.reason}`);
  if (its?.by === "") facts.push(`filled from its keys in ${short(its.seconds)} s`);
  if (its?.by) facts.push(`drawn by ${its.by} in ${short(its.seconds)} s`);
  if (its?.state === "k") facts.push("kept from an earlier run");
  if (its?.seed !== undefined) facts.push(`drawn again with seed ${its.seed}`);
  if (its && its.flicker !== null) {
    facts.push(`to the slide before: flicker ${short(its.flicker)}, E_warp ${short(its.e_warp)}`);
  }
  byId("slide-title").textContent = `Slide ${slide + 1}`;
  byId("slide-facts").textContent =
    `${clock((slide * film.fps) / film.rate)} into the film, frame ${slide * film.fps + 1}` +
    facts.map((fact) => `; ${fact}`).join("");
  byId("slide-before").disabled = slide === 0;
  byId("slide-after").disabled = slide === slideCount - 1;
  byId("flip").disabled = view.other < 0;
  byId("flip").textContent = view.other < 0 ? "Flip" : `Flip with ${view.other + 1}`;
  byId("mark").setAttribute("aria-pressed", marks.has(slide));
  document.title = `Slide ${slide + 1}: ${film.title}`;
  tellBeside(slide, scene, its);
}

// Frame, carried, mask and guide: each can be put at the left of the slide.
function tellBeside(slide, scene, its) {
  const walked = its?.between ?? "-";
  const there = [["frame", "Frame", its?.small ? files.smallFrame(slide) : files.frame(slide)]];
  if (walked !== "-") {
    there.push(
      ["carried", "Carried: the slide drawn before, moved to this frame",
        files.between(slide, `-${walked}`)],
      ["mask", "Mask: white is what the model may change", files.between(slide, "-m")],
      ["guide", "Guide: what the model started from", files.between(slide, "")],
    );
  }
  if (!there.some(([name]) => name === view.left)) view.left = "frame";
  fill("beside", ...there.map(([name, title, source]) => {
    const button = make("button", { type: "button" }, make("img", { src: source, alt: "" }), title);
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
  if (walked === "-") {
    byId("beside").append(make("p", { className: "dim" }, slide === scene.middle
      ? "A middle is drawn freely: nothing is carried, and the mask frees the whole picture."
      : "Carried, mask and guide were not kept. Slides drawn with --save-interp show them here."));
  }
}

function leftSource(slide) {
  const walked = told(slide)?.between;
  return {
    frame: files.frame(slide), carried: files.between(slide, `-${walked}`),
    mask: files.between(slide, "-m"), guide: files.between(slide, ""),
  }[view.left];
}

function showPictures() {
  const { slide, other, flipping, flipped } = view;
  const missing = told(slide)?.state === "m";
  const otherMissing = other < 0 || told(other)?.state === "m";
  const box = byId("pictures");
  box.style.aspectRatio = `${film.width} / ${film.height}`;
  box.style.maxWidth = `calc(78vh * ${film.width / film.height})`;
  box.classList.toggle("flipping", flipping);
  source("left", leftSource(slide));
  source("right", missing ? null : files.slide(slide));
  source("other", flipping && !otherMissing ? files.slide(other) : null);
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

function source(id, url) {
  const image = byId(id);
  if (!url) image.removeAttribute("src");
  else if (image.getAttribute("src") !== url) image.src = url;
}

function flip() {
  if (view.other < 0) return;
  if (view.flipping) view.flipped = !view.flipped;
  else Object.assign(view, { flipping: true, flipped: true });
  showPictures();
  showPlace();
  say(`Slide ${(view.flipped ? view.other : view.slide) + 1}`);
}

function endFlip() {
  Object.assign(view, { flipping: false, flipped: false });
  showPictures();
  showPlace();
}

// The neighbour that a slide flips with: the next of its scene, or the one before its last.
function neighbour(slide) {
  const scene = sceneOf(slide);
  if (slide + 1 < scene.stop) return slide + 1;
  return slide > scene.first ? slide - 1 : -1;
}

function slideTo(event) {
  const box = byId("pictures").getBoundingClientRect();
  byId("slider").value = (100 * (event.clientX - box.left)) / box.width;
  showPictures();
}

// Play.

const AHEAD = 40; // slides whose pictures are fetched before they are shown

const player = { at: 0, playing: false, since: 0, from: 0, stalled: 0, cache: new Map() };

function pair(slide) {
  let found = player.cache.get(slide);
  if (!found) {
    found = { frame: null, slide: null, ready: false };
    player.cache.set(slide, found);
    blockOf(slide).then(() => Promise.all(["frame", "slide"].map(async (kind) => {
      const its = told(slide);
      if (!its || its.state === "m") return; // of what is not drawn there are no small pictures
      const image = new Image();
      if (its.small) image.src = kind === "frame" ? files.smallFrame(slide) : files.small(slide);
      else image.src = files[kind](slide);
      await image.decode().then(() => { found[kind] = image; }, () => {});
    }))).then(() => {
      found.ready = true;
      if (slide === player.at && !byId("view-play").hidden) paint();
    });
  }
  return found;
}

function fetchAhead() {
  const until = Math.min(slideCount, player.at + AHEAD);
  for (let slide = player.at; slide < until; slide += 1) pair(slide);
  for (const slide of player.cache.keys()) {
    if (slide < player.at - AHEAD || slide > until + AHEAD) player.cache.delete(slide);
  }
}

// Both pictures are painted in one go, so that they are never out of step.
function paint() {
  const { at } = player;
  const found = pair(at);
  for (const kind of ["frame", "slide"]) {
    const canvas = byId(`play-${kind}`);
    const image = found[kind];
    if (image && canvas.width !== image.naturalWidth) {
      Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    }
    const pen = canvas.getContext("2d");
    if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    else if (found.ready) pen.clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.shown = found.ready ? at : "";
  }
  const words = {
    frame: `Frame ${at * film.fps + 1}`,
    slide: `Slide ${at + 1}${told(at)?.state === "m" ? ": missing" : ""}`,
  };
  for (const kind of ["frame", "slide"]) {
    byId(`play-${kind}-name`).textContent = words[kind];
    byId(`play-${kind}`).setAttribute("aria-label", words[kind]);
  }
  byId("play-place").value = at;
  byId("play-time").textContent = `${clock(at / rate)} of ${clock(slideCount / rate)}`;
  link("play-open", `#slide-${at + 1}`);
}

function seek(slide) {
  player.at = Math.max(0, Math.min(slideCount - 1, slide));
  Object.assign(player, { since: performance.now(), from: player.at });
  fetchAhead();
  paint();
}

function playOrStop(play) {
  player.playing = play ?? !player.playing;
  byId("play-button").textContent = player.playing ? "Stop" : "Play";
  if (!player.playing) return;
  seek(player.at === slideCount - 1 ? 0 : player.at);
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!player.playing) return;
  const due = Math.min(slideCount - 1, player.from + Math.floor(((now - player.since) / 1000) * rate));
  if (due > player.at) {
    // Where a picture is late the film waits for it: nothing is skipped but what the screen skips.
    const late = !pair(due).ready;
    if (late) {
      Object.assign(player, { since: now - 1000 / rate, from: player.at });
    } else {
      player.at = due;
      fetchAhead();
      paint();
    }
    player.stalled = late ? player.stalled + 1 : 0;
    byId("play-note").textContent = player.stalled > 20 ? "Waiting for pictures" : "";
  }
  if (player.at === slideCount - 1) playOrStop(false);
  else requestAnimationFrame(tick);
}

// What is to be drawn again.

const marks = new Set();

function mark(slide) {
  if (marks.has(slide)) marks.delete(slide);
  else marks.add(slide);
  say(`Slide ${slide + 1} is ${marks.has(slide) ? "marked" : "not marked any more"}`);
  tellMarks();
}

function tellMarks() {
  const numbers = ranges([...marks].map((slide) => slide + 1));
  byId("redo").hidden = marks.size === 0;
  byId("redo-title").textContent =
    `${count(marks.size, "slide")} to draw again: this command does it`;
  const chain = byId("redo-chain").checked ? " --redo-chain" : "";
  byId("redo-command").textContent = `${film.command} --redo ${numbers}${chain}`;
  const notes = [];
  if (film.folder) notes.push(`Type it in ${film.folder}.`);
  if (film.secrets) notes.push("Add the user, password, query or --header that the servers ask for; they are not kept here.");
  byId("redo-folder").textContent = notes.join(" ");
  byId("redo-copy").textContent = "Copy";
  if (view.slide >= 0) byId("mark").setAttribute("aria-pressed", marks.has(view.slide));
  if (shownScene) {
    for (const [index, cell] of stripSheet.cells) dressStripCell(cell, shownScene.first + index);
  }
}

async function copy() {
  const command = byId("redo-command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    byId("redo-copy").textContent = "Copied";
  } catch { // not allowed: leave it selected
    getSelection().selectAllChildren(command);
    byId("redo-copy").textContent = "Selected: copy it now";
  }
}

function say(text) {
  byId("said").textContent = text;
}

// Which view is shown is in the address, so that Back works and a place can be noted.

function go(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

function route() {
  const [, name, digits] = /^#?([a-z]*)-?(\d*)$/.exec(location.hash) ?? [];
  const number = Number(digits) - 1;
  const has = (stop) => digits && number >= 0 && number < stop;
  let shown = "overview";
  if (name === "scene" && has(scenes.length)) {
    shown = "scene";
  } else if ((name === "slide" || name === "pair") && has(slideCount)) {
    shown = "scene";
  } else if (name === "play") {
    shown = "play";
  }
  for (const each of ["overview", "scene", "play"]) {
    byId(`view-${each}`).hidden = each !== shown;
    if (each === shown) byId(`to-${each}`).setAttribute("aria-current", "page");
    else byId(`to-${each}`).removeAttribute("aria-current");
  }
  if (shown !== "play") playOrStop(false);
  if (shown === "overview") {
    document.title = film.title;
    sceneSheet.draw();
  } else if (shown === "play") {
    document.title = `Play: ${film.title}`;
    seek(has(slideCount) ? number : player.at);
  } else if (name === "scene") {
    showSlide(scenes[number].middle, neighbour(scenes[number].middle), false);
    document.title = `Scene ${number + 1}: ${film.title}`;
  } else {
    const paired = name === "pair" && number + 1 < sceneOf(number).stop;
    showSlide(number, neighbour(number), paired);
  }
  if (shown === "scene") {
    link("to-scene", `#slide-${name === "scene" ? scenes[number].middle + 1 : number + 1}`);
    link("to-play", `#play-${name === "scene" ? scenes[number].first + 1 : number + 1}`);
    if (has(slideCount) || name === "scene") {
      sceneSheet.current = (name === "scene" ? scenes[number] : sceneOf(number)).number - 1;
    }
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
      " ": target.matches("button, a, input[type=checkbox]") ? null : () => playOrStop(),
      ArrowLeft: () => { playOrStop(false); seek(player.at - 1); },
      ArrowRight: () => { playOrStop(false); seek(player.at + 1); },
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
  tellOverview();
  addEventListener("hashchange", () => { route(); scrollTo(0, 0); });
  addEventListener("keydown", onKey);
  byId("slider").addEventListener("input", showPictures);
  byId("pictures").addEventListener("pointerdown", (event) => {
    if (view.flipping) return flip();
    byId("pictures").setPointerCapture(event.pointerId);
    return slideTo(event);
  });
  byId("pictures").addEventListener("pointermove", (event) => {
    if (event.buttons & 1 && !view.flipping) slideTo(event);
  });
  byId("flip").addEventListener("click", flip);
  byId("mark").addEventListener("click", () => mark(view.slide));
  byId("slide-before").addEventListener("click", () => step(-1));
  byId("slide-after").addEventListener("click", () => step(1));
  byId("play-button").addEventListener("click", () => playOrStop());
  byId("play-place").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("redo-chain").addEventListener("change", tellMarks);
  byId("redo-copy").addEventListener("click", copy);
  byId("redo-clear").addEventListener("click", () => { marks.clear(); tellMarks(); });
  route();
}

begin();
