// Slides marked to be drawn again, and the command that does it.

const marks = new Set();

function mark(slide) {
  if (marks.has(slide)) marks.delete(slide);
  else marks.add(slide);
  announce(`Slide ${slide + 1} is ${marks.has(slide) ? "marked" : "no longer marked"}`);
  renderMarks();
}

function renderMarks() {
  const numbers = ranges([...marks].map((slide) => slide + 1));
  byId("redo").hidden = marks.size === 0;
  byId("redo-title").textContent = `This command draws ${count(marks.size, "slide")} again`;
  const chain = byId("redo-chain").checked ? " --redo-chain" : "";
  byId("redo-command").textContent = `${film.command} --redo ${numbers}${chain}`;
  const notes = [];
  if (film.folder) notes.push(`Run it in ${film.folder}.`);
  if (film.secrets) {
    notes.push("Add the user, password, query or --header that the servers need; the page has none of these.");
  }
  byId("redo-folder").textContent = notes.join(" ");
  byId("redo-copy").textContent = "Copy";
  if (view.slide >= 0) byId("mark").setAttribute("aria-pressed", marks.has(view.slide));
  if (shownScene) {
    for (const [index, cell] of stripSheet.cells) updateStripCell(cell, shownScene.first + index);
  }
}

async function copy() {
  const command = byId("redo-command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    byId("redo-copy").textContent = "Copied";
  } catch { // not allowed: select it
    getSelection().selectAllChildren(command);
    byId("redo-copy").textContent = "Selected: copy it now";
  }
}
