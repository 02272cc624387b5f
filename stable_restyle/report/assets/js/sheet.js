// A grid of cells, of which only the visible ones are in the document: one scrolling row (across), or
// as many columns as fit, which scroll with the page. Printed, all cells are there.
class Sheet {
  // cell: makes the cell of an index. heightOf: the height of cells of a width.
  constructor(box, across, cell, heightOf) {
    Object.assign(this, { box, across, cell, heightOf, count: 0, width: 1, current: 0 });
    this.sheet = make("div", { className: "sheet" });
    this.cells = new Map();
    box.replaceChildren(this.sheet);
    const redraw = () => requestAnimationFrame(() => this.draw());
    (across ? box : window).addEventListener("scroll", redraw);
    box.addEventListener("keydown", (event) => this.moveFocus(event));
    new ResizeObserver(redraw).observe(box);
    addEventListener("beforeprint", () => this.draw(true));
    addEventListener("afterprint", () => this.draw());
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

  // The width of a cell; columns share the space left over.
  get step() {
    return this.across ? this.width : Math.floor(this.box.clientWidth / this.columns);
  }

  get height() {
    return Math.ceil(this.heightOf(this.step));
  }

  // The cells in view, from <= index < to, and some around them.
  get visible() {
    const { box, columns, step, height, count } = this;
    if (this.across) {
      return [
        Math.max(0, Math.floor(box.scrollLeft / step) - 2),
        Math.min(count, Math.ceil((box.scrollLeft + box.clientWidth) / step) + 2),
      ];
    }
    const top = -box.getBoundingClientRect().top;
    return [
      Math.max(0, Math.floor(top / height) - 1) * columns,
      Math.max(0, Math.min(count, (Math.ceil((top + innerHeight) / height) + 1) * columns)),
    ];
  }

  draw(all = false) {
    const { box, columns, step, height, count } = this;
    if (!box.clientWidth || !count) return;
    this.sheet.style.width = `${Math.min(columns, count) * step}px`;
    this.sheet.style.height = `${Math.ceil(count / columns) * height}px`;
    const [from, to] = all ? [0, count] : this.visible;
    const shown = new Set([this.current]); // always there, for Tab to reach
    for (let index = from; index < to; index += 1) shown.add(index);
    for (const [index, cell] of this.cells) {
      if (!shown.has(index) && cell !== document.activeElement) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    for (const index of [...shown].sort((a, b) => a - b)) {
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
      cell.style.order = index;
      cell.tabIndex = index === this.current ? 0 : -1;
    }
  }

  // Make a cell the one that Tab reaches; if it is out of view, scroll to it.
  show(index) {
    this.current = index;
    const { box, step } = this;
    if (this.across) {
      const left = index * step;
      if (left < box.scrollLeft || left + step > box.scrollLeft + box.clientWidth) {
        box.scrollLeft = left - (box.clientWidth - step) / 2;
      }
    }
    this.draw();
    if (!this.across) this.cells.get(index)?.scrollIntoView({ block: "nearest" });
  }

  moveFocus(event) {
    if (this.across || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      Home: -this.count, End: this.count,
    }[event.key];
    if (!step) return;
    event.preventDefault();
    this.show(Math.max(0, Math.min(this.count - 1, this.current + step)));
    this.cells.get(this.current).focus({ preventScroll: true });
  }
}
