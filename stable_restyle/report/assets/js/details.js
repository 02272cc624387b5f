// The details of slides, loaded in blocks when they are needed, and the files of each slide.

const requests = new Map(); // index -> promise of a block
const blocks = new Map(); // index -> block, once it is loaded

// Called by the file of a block.
function take(index, block) {
  blocks.set(index, block);
}

// Load the block of a slide. A block whose file cannot be loaded stays unknown.
function blockOf(slide) {
  return requestBlock(Math.floor(slide / film.block));
}

function requestBlock(index) {
  if (!requests.has(index)) {
    requests.set(index, new Promise((resolve) => {
      loadScript(`${film.paths.report}slides-${index}.js?${film.made}`, resolve);
    }));
  }
  return requests.get(index);
}

// Load the blocks of slides, first <= slide < stop.
function blocksOf(first, stop) {
  const loading = [];
  for (let slide = first; slide < stop; slide += film.block) loading.push(blockOf(slide));
  return Promise.all([...loading, blockOf(stop - 1)]);
}

// Load again what has been loaded; until then the old details are shown.
function reloadBlocks() {
  const loaded = [...requests.keys()];
  requests.clear();
  return Promise.all(loaded.filter((index) => index * film.block < slideCount).map(requestBlock));
}

// The details of a slide, or null while its block is not loaded.
function detailsOf(slide) {
  const index = Math.floor(slide / film.block);
  const block = blocks.get(index);
  if (!block) return null;
  const at = slide - index * film.block;
  return {
    state: block.state[at],
    small: block.small[at] === "1",
    between: block.between[at],
    guide: block.guide[at] === "1",
    answer: block.answer[at] === "1",
    seconds: block.seconds[at],
    by: block.by[at] === null ? null : film.names[block.by[at]],
    flicker: block.flicker[at],
    unexplained: block.unexplained[at],
    seed: block.seed[slide],
    window: block.window[slide],
    given: block.given.includes(slide),
    reason: film.reasons[block.reason[slide]],
    written: block.written[at],
  };
}

const isMissing = (slide) => detailsOf(slide)?.state === "m";
// What stands in the place of a missing slide, and its class: waiting is no fault.
const missingWords = () => (film.running ? ["not drawn yet", "waiting"] : ["missing", "missing"]);

// A slide written again has another address, so that browsers do not show the earlier one. While its
// block is not loaded, slides may be others once a run has begun or ended.
function version(slide) {
  const { began, ended } = film.runs.at(-1) ?? {};
  return `?${detailsOf(slide)?.written ?? `${began}-${ended}`}`;
}

function frameName(frame) {
  const { prefix, digits, tail, first } = film.frame_names;
  return `${prefix}${String(first + frame).padStart(digits, "0")}${tail}`;
}

const files = {
  small: (slide) => `${film.paths.report}slides/${fileName(slide)}.jpg${version(slide)}`,
  smallFrame: (slide) => `${film.paths.report}frames/${fileName(slide)}.jpg`,
  slide: (slide) => `${film.paths.slides}${fileName(slide)}.png${version(slide)}`,
  // A film whose frames are not kept has no others than the small ones.
  frame: (slide) => {
    if (film.paths.large) return `${film.paths.large}${fileName(slide)}.jpg`;
    if (!film.paths.frames) return files.smallFrame(slide);
    return `${film.paths.frames}${encodeURIComponent(frameName(slide * film.frames_per_slide))}`;
  },
  between: (slide, ending) => `${film.paths.between}${fileName(slide)}${ending}.png${version(slide)}`,
  answer: (slide) => `${film.paths.answers}${fileName(slide)}.png${version(slide)}`,
};
