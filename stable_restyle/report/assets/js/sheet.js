// A scrolling grid of cells, of which only the visible ones are in the document. It has one row
// (across), or as many columns as fit.
class Sheet {
  // cell: makes the cell of an index. heightOf: the height of cells of a width.
  constructor(box, across, cell, heightOf) {
    Object.assign(this, { box, across, cell, heightOf, count: 0, width: 1, current: 0 });
    this.sheet = make("div", { className: "sheet" });
    this.cells = new Map();
    box.replaceChildren(this.sheet);
    box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    box.addEventListener("keydown", (event) => this.moveFocus(event));
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

  // The width of a cell; columns share the space left over.
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

  // Scroll to a cell and make it the one that Tab reaches.
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
