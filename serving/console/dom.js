// Elements from plain values. Data becomes text alone: nothing here reads markup.
// Next: words.js.

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function show(place, ...children) {
  place.replaceChildren(...children.flat().filter((child) => child !== null));
}

// The width of a bar's filled part: from the script, as the page's policy allows no inline style.
export function bar(share, label, kind = "") {
  const full = Math.max(0, Math.min(1, share));
  const filled = make("span", { class: `filled ${kind}` });
  filled.style.width = `${100 * full}%`;
  return make("span", { class: "meter", role: "img", "aria-label": label }, filled);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null) element.append(child);  // a string becomes a text node
  }
  return element;
}
