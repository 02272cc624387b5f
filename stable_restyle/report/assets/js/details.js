// The details of slides, loaded in blocks when they are needed, and the files of each slide.

const requests = new Map(); // index -> promise of a block
const resolvers = new Map(); // index -> function that resolves the promise
const blocks = new Map(); // index -> block, once it is loaded

// Called by the file of a block.
function take(index, block) {
  blocks.set(index, block);
  resolvers.get(index)?.(block);
}

// Load the block of a slide. It resolves to null if the file cannot be loaded.
function blockOf(slide) {
  const index = Math.floor(slide / film.block);
  if (!requests.has(index)) {
    requests.set(index, new Promise((resolve) => {
      resolvers.set(index, resolve);
      const script = make("script", { src: `${film.paths.report}slides-${index}.js` });
      script.onerror = () => resolve(null);
      document.head.append(script);
    }));
  }
  return requests.get(index);
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
    seconds: block.seconds[at],
    by: block.by[at] === null ? null : film.names[block.by[at]],
    flicker: block.flicker[at],
    e_warp: block.e_warp[at] === null ? null : 1000 * block.e_warp[at],
    seed: block.seed[slide],
    given: block.given.includes(slide),
    reason: film.reasons[block.reason[slide]],
  };
}

const files = {
  small: (slide) => `${film.paths.report}slides/${fileName(slide)}.jpg`,
  smallFrame: (slide) => `${film.paths.report}frames/${fileName(slide)}.jpg`,
  slide: (slide) => `${film.paths.slides}${fileName(slide)}.png`,
  frame: (slide) => `${film.paths.frames}${fileName(slide * film.frames_per_slide)}.png`,
  between: (slide, ending) => `${film.paths.between}${fileName(slide)}${ending}.png`,
};
