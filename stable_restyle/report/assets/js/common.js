// The film, its scenes, elements of the page, and numbers as text. All data is shown as text, never as
// HTML. Slides are counted from 0, as in the program; the page shows the number of the file, which is
// one more.
"use strict";

let film; // what the page shows, as summary.py writes it
let scenes; // each scene, with its first frame and its slides (first <= slide < stop)
let slideCount;
let rate; // slides a second
let shape; // height of a picture / width

function readFilm(data) {
  film = data;
  scenes = [];
  for (const [frames, slides, middle, fresh, missing, picture, severity, jumps] of film.scenes) {
    const before = scenes.at(-1);
    const start = before ? before.start + before.frames : 0;
    const first = before ? before.stop : 0;
    scenes.push({
      number: scenes.length + 1, start, frames, first, stop: first + slides, slides,
      middle: first + middle, fresh, kept: slides - fresh - missing, missing,
      picture: picture < 0 ? null : first + picture, severity, jumps,
    });
  }
  slideCount = scenes.at(-1).stop;
  rate = film.rate / film.frames_per_slide;
  shape = film.height / film.width;
  document.documentElement.style.setProperty("--shape", shape);
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

// Elements

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function makeSvg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children);
}

function link(id, url) {
  if (url) byId(id).setAttribute("href", url);
  else byId(id).removeAttribute("href");
}

function press(id, isPressed) {
  byId(id).setAttribute("aria-pressed", isPressed);
}

function rows(id, pairs) {
  fill(id, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// A thumbnail, or text in its place.
function picture(source, words, className) {
  const box = make("div", { className: "picture" });
  box.style.aspectRatio = `${film.width} / ${film.height}`;
  if (source) box.append(make("img", { src: source, alt: "", decoding: "async" }));
  else {
    box.className = `picture none ${className}`;
    box.textContent = words;
  }
  return box;
}

// Run a file of data. It calls one of the functions of this page.
function loadScript(source, onEnd = () => {}) {
  const script = make("script", { src: source });
  const end = (event) => {
    script.remove();
    onEnd(event.type === "load");
  };
  script.addEventListener("load", end);
  script.addEventListener("error", end);
  document.head.append(script);
}

function toggleFullScreen(id) {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId(id).requestFullscreen?.();
}

async function copy(button, command) {
  try {
    await navigator.clipboard.writeText(byId(command).textContent);
    byId(button).textContent = "Copied";
  } catch { // not allowed: select it
    getSelection().selectAllChildren(byId(command));
    byId(button).textContent = "Selected";
  }
}

// Tell screen readers.
function announce(text) {
  byId("said").textContent = text;
}

// Numbers as text

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

// Slide numbers as the command line takes them: 12,40-46.
function ranges(numbers) {
  const parts = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
