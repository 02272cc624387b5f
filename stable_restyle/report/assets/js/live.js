// While a run goes on, the page asks a small file beside it whether there is news, and shows it in
// place. Browsers do not let a page from disk read JSON, but it may run a script: files call `now` and
// `renew`.

const ASK_MS = 3000;

let asking = null; // the timer
let renewing = false;

function ask() {
  if (renewing) return;
  loadScript(`${film.paths.report}now.js?${Date.now()}`, (worked) => {
    if (!worked) stopAsking(); // its folder has been removed
  });
}

function stopAsking() {
  clearInterval(asking);
  asking = null;
}

function askAsLongAsItRuns() {
  if (film.running && asking === null) asking = setInterval(ask, ASK_MS);
  else if (!film.running) stopAsking();
}

// Called by the small file. made: when the page was last written, in seconds.
function now(made) {
  if (made <= film.made || renewing) return;
  renewing = true;
  loadScript(`${film.paths.report}film.js?${made}`, () => { renewing = false; });
}

// Called by the file of the film. The view, the slide, the marks, what has the focus and the place in
// the page stay.
async function renew(data) {
  readFilm(data);
  await reloadBlocks();
  await dropDrawnMarks();
  const focused = document.activeElement.getAttribute("href");
  renderOverview();
  renderRunView();
  renewPlayer();
  if (isShown("scene")) route();
  if (focused && document.activeElement === document.body) {
    document.querySelector(`main a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  askAsLongAsItRuns();
}
