// Two pictures, one over the other: the upper one is shown to the right of a border that a slider or
// the pointer moves.
class Wipe {
  // box: what shows the pictures, perhaps a part of them. layers: the pictures as a whole, in it.
  constructor(box, layers, slider, divider) {
    Object.assign(this, { box, layers, slider, divider, uppers: [], isOn: false });
    slider.addEventListener("input", () => this.draw());
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(layers);
  }

  // uppers: the elements of the upper picture.
  set(isOn, uppers) {
    for (const each of this.uppers) each.style.clipPath = "";
    Object.assign(this, { isOn, uppers });
    this.slider.hidden = this.divider.hidden = !isOn;
    this.draw();
  }

  draw() {
    if (!this.isOn || !this.layers.offsetWidth) return;
    const { box, layers, slider, divider } = this;
    const at = box.scrollLeft + (box.clientWidth * slider.value) / 100 - layers.offsetLeft;
    const share = Math.max(0, Math.min(100, (100 * at) / layers.offsetWidth));
    for (const each of this.uppers) each.style.clipPath = `inset(0 0 0 ${share.toFixed(2)}%)`;
    divider.style.left = `${share}%`;
  }

  moveTo(event) {
    const edges = this.box.getBoundingClientRect();
    this.slider.value = (100 * (event.clientX - edges.left)) / edges.width;
    this.draw();
  }
}

// Call `move` with each event while the pointer is dragged over a box, `begin` with the first.
function onDrag(box, begin, move) {
  box.addEventListener("pointerdown", (event) => {
    if (event.button || !begin(event)) return;
    box.setPointerCapture(event.pointerId);
    move(event);
  });
  box.addEventListener("pointermove", (event) => {
    if (event.buttons & 1 && box.hasPointerCapture(event.pointerId)) move(event);
  });
}
