// Slides marked to be drawn again, and the command that does it. Marks are kept in the browser until
// the slide has been written again.

const marks = new Map(); // slide -> when the slide that was marked had been written
const MARKS = `video-restyle marks ${location.pathname}`;

function mark(slide) {
  if (marks.has(slide)) marks.delete(slide);
  else marks.set(slide, detailsOf(slide)?.written ?? 0);
  announce(`Slide ${slide + 1} is ${marks.has(slide) ? "marked" : "no longer marked"}`);
  keepMarks();
  renderMarks();
}

function clearMarks() {
  marks.clear();
  keepMarks();
  renderMarks();
}

function keepMarks() {
  try {
    localStorage.setItem(MARKS, JSON.stringify([...marks]));
  } catch { // the browser keeps nothing of pages from disk: marks last as long as the page is open
  }
}

function recallMarks() {
  try {
    for (const [slide, written] of JSON.parse(localStorage.getItem(MARKS) ?? "[]")) {
      if (Number.isInteger(slide) && slide >= 0) marks.set(slide, written);
    }
  } catch { // there are none
  }
  return dropDrawnMarks();
}

// Forget the marks of slides that have been written again since.
async function dropDrawnMarks() {
  for (const slide of marks.keys()) if (slide >= slideCount) marks.delete(slide);
  await Promise.all([...marks.keys()].map(blockOf));
  for (const [slide, written] of marks) {
    if ((detailsOf(slide)?.written || written) !== written) marks.delete(slide);
  }
  keepMarks();
  renderMarks();
}

function renderMarks() {
  const numbers = ranges([...marks.keys()].map((slide) => slide + 1));
  byId("redo").hidden = marks.size === 0;
  byId("redo-title").textContent = `Draw ${count(marks.size, "slide")} again`;
  const chain = byId("redo-chain").checked ? " --redo-chain" : "";
  byId("redo-command").textContent = `${film.command} --redo ${numbers}${chain}`;
  byId("redo-note").textContent = commandNotes();
  byId("redo-copy").textContent = "Copy";
  press("mark", marks.has(view.slide));
  press("play-mark", marks.has(player.at));
  if (shownScene) updateStrip();
}
