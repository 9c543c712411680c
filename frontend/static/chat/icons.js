// What do the icons look like? Line drawings on a 24 by 24 grid, in the colour of the text around them.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  side: "M4 5.5h16v13H4zM9.5 5.5v13",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V6M6 11.5 12 5.5l6 6",
  stop: "M7.5 7.5h9v9h-9z",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  check: "m5 12.5 4.5 4.5L19 7.5",
  up: "M7.5 10.5V20H4v-9.5zM7.5 10.5 11.5 3.5c1.7 0 2.6 1.2 2.2 2.8l-.7 2.9h5.1c1.3 0 2.2 1.2 1.9 2.4l-1.4 6.2c-.3 1.3-1.4 2.2-2.7 2.2H7.5",
  down: "M16.5 13.5V4H20v9.5zM16.5 13.5 12.5 20.5c-1.7 0-2.6-1.2-2.2-2.8l.7-2.9H5.9c-1.3 0-2.2-1.2-1.9-2.4l1.4-6.2C5.7 4.9 6.8 4 8.1 4h8.4",
  pen: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  bin: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5",
  chevron: "m9 6 6 6-6 6",
  latest: "M12 5v13M6 12.5l6 6 6-6",
  again: "M19 12a7 7 0 1 1-2.3-5.2M19 4v4h-4",
  open: "M14 5h5v5M19 5l-8 8M17 14v5H5V7h5",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 20 20",
  arrow: "M5 12h14M13 6l6 6-6 6",
  filter: "M4 6h16M7 12h10M10 18h4",
  cross: "M6 6l12 12M18 6 6 18",
  info: "M12 11v5.5M12 7.5v.1M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  question: "M9.5 9.5a2.6 2.6 0 1 1 3.7 2.35c-.8.4-1.2.9-1.2 1.75M12 16.9v.1M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  warning: "M12 9.5v4.5M12 17v.1M12 4 2.8 20h18.4z",
  lines: "M5 6.5h14M5 11h14M5 15.5h8",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.5 3.8-5.5 7.5-5.5s6.7 2 7.5 5.5",
};

/** Paths of the mark: a signpost whose arms point both ways. */
const MARK = ["M16 5.5v21", "M16 8h8l3.2 3.25L24 14.5h-8z", "M16 16.5H8l-3.2 3L8 22.5h8z"];

/**
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  return draw("0 0 24 24", "icon", [PATHS[name]]);
}

/** The signpost of the brand. */
export function mark() {
  return draw("0 0 32 32", "mark", MARK);
}

function draw(viewBox, style, paths) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox, class: style, "aria-hidden": "true", focusable: "false" })) svg.setAttribute(name, value);
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
