"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const LEFT = 70, RIGHT = 14, TOP = 8, FOOT = 24;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Numbers as people read them: the same words as in the text report.
  const scaled = (n, units) => {
    const [size, unit] = units.find(([size]) => n < 999.5 * size) ?? units.at(-1), m = n / size;
    return `${m.toFixed(m >= 99.95 || size === 1 ? 0 : m >= 9.995 ? 1 : 2)} ${unit}`;
  };
  const time = (nanos) => scaled(nanos, [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]]);
  const tick = (nanos) => time(nanos).replace(/\.0+ /, " ");
  const count = (n) => Math.round(n).toLocaleString("en-US");
  const short = (n) => n >= 1e6 ? `${+(n / 1e6).toFixed(2)} M` : n >= 1e4 ? `${+(n / 1e3).toFixed(1)} k` : count(n);
  const seconds = (s) => `${+s.toFixed(3)} s`;

  const make = (name, attributes = {}, parent) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  };
  const label = (parent, x, y, text, anchor = "middle") => {
    make("text", { x, y, "text-anchor": anchor }, parent).textContent = text;
  };

  // Round steps: 1, 2 or 5 times a power of ten, about `wanted` of them up to `end`.
  const steps = (end, wanted, least = 0) => {
    const rough = end / wanted, base = 10 ** Math.floor(Math.log10(rough || 1));
    const step = Math.max(least, base * ([1, 2, 5].find((n) => n * base >= rough) ?? 10));
    return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => +(i * step).toPrecision(12));
  };

  // A chart: an SVG that fills its figure and is drawn again when the width or the theme changes.
  const charts = [];
  const chart = (id, height, draw) => {
    const figure = document.getElementById(id);
    if (!figure) return;
    const holder = figure.querySelector(".chart");
    const svg = make("svg", { height, role: "img", tabindex: 0, "aria-label": figure.dataset.label }, holder);
    const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    tip.setAttribute("role", "status");
    holder.append(tip);
    const self = { holder, svg, tip, height, hide: () => {} };
    const redraw = () => {
      self.width = holder.clientWidth;
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${self.width} ${height}`);
      draw(self);
    };
    charts.push(redraw);
    let known = 0;
    const fit = () => { if (holder.clientWidth !== known) { known = holder.clientWidth; redraw(); } };
    fit();
    new ResizeObserver(fit).observe(holder);
    svg.addEventListener("pointerleave", () => self.hide());
    svg.addEventListener("blur", () => self.hide());
    svg.addEventListener("keydown", (event) => { if (event.key === "Escape") self.hide(); });
  };
  dark.addEventListener("change", () => charts.forEach((redraw) => redraw()));

  const show = ({ holder, tip }, x, y, text) => {
    tip.hidden = false;
    tip.textContent = text;
    const left = x + tip.offsetWidth + 18 > holder.clientWidth ? x - tip.offsetWidth - 12 : x + 12;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.max(0, y - tip.offsetHeight - 8)}px`;
  };
  const plot = (self) => ({ left: LEFT, right: self.width - RIGHT, top: TOP, bottom: self.height - FOOT });
  const place = (self, event) => {
    const box = self.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  // Time runs from left to right, on the same scale in every chart.
  const timeAxis = (self) => {
    const { left, right, top, bottom } = plot(self);
    const x = (s) => left + (right - left) * Math.min(1, s / data.elapsed);
    for (const s of steps(data.elapsed, Math.max(3, Math.floor((right - left) / 110)))) {
      make("line", { class: "grid", x1: x(s), x2: x(s), y1: top, y2: bottom }, self.svg);
      label(self.svg, x(s), bottom + 16, seconds(s));
    }
    return x;
  };

  // Heat map: a canvas for the cells below an SVG for all else.
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return Array.from({ length: 7 }, (_, i) => {
      const hex = parseInt(style.getPropertyValue(`--heat-${i}`).trim().slice(1), 16);
      return [hex >> 16, (hex >> 8) & 255, hex & 255];
    });
  };
  const colour = (stops, share) => {
    const at = share * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
    return stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i)));
  };
  const drawHeat = (self) => {
    const { rows, columns, column } = data.heat;
    const { left, right, top, bottom } = plot(self);
    const fold = (pick, start) => columns.reduce((m, [, cells]) => cells.reduce((n, [row]) => pick(n, row), m), start);
    const first = Math.max(0, fold(Math.min, Infinity) - 1), last = Math.min(rows.length - 1, fold(Math.max, 0) + 1);
    const peak = columns.reduce((m, [, cells]) => cells.reduce((n, [, c]) => Math.max(n, c), m), 1);
    const high = (bottom - top) / (last - first + 1);
    const y = (row) => bottom - (row - first) * high;
    const x = timeAxis(self);
    // The place of a latency: between the lines of its band.
    const level = (nanos) => {
      const row = rows.findIndex(([, highest]) => nanos <= highest);
      const [lowest, highest] = rows[row] ?? [0, 0];
      return row < first || row > last ? null : y(row + (nanos - lowest) / Math.max(1, highest - lowest));
    };
    const low = Math.max(1, rows[first][0]), top9 = rows[last][1];
    const few = Math.log10(top9 / low) < 2;
    for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= top9; decade *= 10) {
      for (const n of few ? [1, 2, 5] : [1]) {
        const at = level(n * decade);
        if (at === null || n * decade < low) continue;
        make("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }, self.svg);
        label(self.svg, left - 8, at + 4, tick(n * decade), "end");
      }
    }
    make("rect", { class: "axis", x: left, y: top, width: right - left, height: bottom - top, fill: "none" }, self.svg);
    const canvas = self.canvas ??= self.holder.insertBefore(document.createElement("canvas"), self.svg);
    const density = devicePixelRatio || 1, wide = right - left, tall = bottom - top;
    Object.assign(canvas, { width: Math.round(wide * density), height: Math.round(tall * density) });
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${tall}px` });
    const pen = canvas.getContext("2d"), stops = colours();
    pen.scale(density, density);
    for (const [at, cells] of columns) {
      const from = x(at) - left, until = x(Math.min(data.elapsed, at + column)) - left;
      for (const [row, n] of cells) {
        const share = peak > 1 ? Math.log(n) / Math.log(peak) : 1;
        pen.fillStyle = `rgb(${colour(stops, share)})`;
        const edge = Math.round((y(row + 1) - top) * density) / density, floor = Math.round((y(row) - top) * density) / density;
        pen.fillRect(Math.round(from * density) / density, edge, Math.max(1, Math.round((until - from) * density) / density), Math.max(1 / density, floor - edge));
      }
    }
    const frame = make("rect", { class: "cell", width: 0, height: 0 }, self.svg);
    let cell = null;
    self.hide = () => { self.tip.hidden = true; frame.setAttribute("width", 0); };
    const point = (index, row) => {
      const [at, cells] = columns[index] ?? [index * column, []];
      const n = cells.find(([r]) => r === row)?.[1] ?? 0;
      const from = x(at), until = x(Math.min(data.elapsed, at + column));
      cell = [index, row];
      for (const [key, value] of Object.entries({ x: from, y: y(row + 1), width: until - from, height: high })) frame.setAttribute(key, value);
      const [lowest, highest] = rows[row];
      const band = row === rows.length - 1 ? `above ${time(lowest)}` : `${time(lowest)} to ${time(highest + 1)}`;
      show(self, until, y(row + 1), `${seconds(at)} to ${seconds(Math.min(data.elapsed, at + column))}\n${band}\n${count(n)} ${n === 1 ? "response" : "responses"}`);
    };
    const near = (s) => columns.findIndex(([at]) => s >= at && s < at + column);
    self.svg.onpointermove = (event) => {
      const [px, py] = place(self, event);
      const index = near((px - left) / (right - left) * data.elapsed), row = first + Math.floor((bottom - py) / high);
      if (index < 0 || row < first || row > last) self.hide(); else point(index, row);
    };
    self.svg.onkeydown = (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const [index, row] = cell ?? [-1, columns[0]?.[1][0]?.[0] ?? first];
      point(Math.max(0, Math.min(columns.length - 1, index + move[0])), Math.max(first, Math.min(last, row + move[1])));
    };
    const peakLabel = document.getElementById("peak");
    if (peakLabel) peakLabel.textContent = count(peak);
  };

  // A line over time, or bars, with a cursor that tells the figures of a second.
  const overTime = (values, tell) => (self) => {
    const { left, right, top, bottom } = plot(self);
    const highest = Math.max(1, ...values.flatMap(({ of }) => data.seconds.map(of)));
    const marks = steps(highest, 3, 1), end = Math.max(highest, marks.at(-1)) * 1.04;
    const y = (n) => bottom - (bottom - top) * n / end;
    const x = timeAxis(self);
    for (const n of marks) {
      make("line", { class: "grid", x1: left, x2: right, y1: y(n), y2: y(n) }, self.svg);
      label(self.svg, left - 8, y(n) + 4, short(n), "end");
    }
    make("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }, self.svg);
    for (const { name, of, bars } of values) {
      if (bars) {
        for (const second of data.seconds.filter((second) => of(second) > 0)) {
          const from = x(second.at), tall = Math.max(2, bottom - y(of(second)));
          make("rect", { class: name, x: from, y: bottom - tall, width: Math.max(2, x(second.at + second.length) - from - 1), height: tall }, self.svg);
        }
      } else {
        const points = data.seconds.map((second) => `${x(second.at + second.length / 2).toFixed(1)},${y(of(second)).toFixed(1)}`);
        make("polyline", { class: `series ${name}`, points: points.join(" ") }, self.svg);
      }
    }
    const cursor = make("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" }, self.svg);
    let chosen = -1;
    self.hide = () => { self.tip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
    const point = (index) => {
      const second = data.seconds[chosen = index], middle = x(second.at + second.length / 2);
      for (const [key, value] of Object.entries({ x1: middle, x2: middle, visibility: "visible" })) cursor.setAttribute(key, value);
      show(self, middle, top + 60, `${seconds(second.at)} to ${seconds(second.at + second.length)}\n${tell(second)}`);
    };
    self.svg.onpointermove = (event) => {
      const s = (place(self, event)[0] - left) / (right - left) * data.elapsed;
      const index = data.seconds.findIndex(({ at, length }) => s >= at && s < at + length);
      if (index < 0) self.hide(); else point(index);
    };
    self.svg.onkeydown = (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move || !data.seconds.length) return;
      event.preventDefault();
      point(Math.max(0, Math.min(data.seconds.length - 1, chosen + move)));
    };
  };

  // Latency by quantile: the more to the right, the rarer; each mark is ten times rarer.
  const drawQuantiles = (self) => {
    const { left, right, top, bottom } = plot(self);
    const curves = data.curves.filter(({ points }) => points.length > 0);
    const most = Math.max(10, ...curves.map(({ count }) => count));
    const nines = Math.max(2, Math.log10(most)), rare = (q, n) => Math.min(-Math.log10(Math.max(1 - q, 0.5 / n)), nines);
    const values = curves.flatMap(({ points }) => [points[0][1], points.at(-1)[1]]);
    const low = Math.log10(Math.max(1, Math.min(...values) * 0.8)), high = Math.log10(Math.max(...values) * 1.25);
    const x = (r) => left + (right - left) * r / nines, y = (nanos) => bottom - (bottom - top) * (Math.log10(Math.max(1, nanos)) - low) / (high - low);
    for (let n = 0; n <= nines; n++) {
      make("line", { class: "grid", x1: x(n), x2: x(n), y1: top, y2: bottom }, self.svg);
      label(self.svg, x(n), bottom + 16, n === 0 ? "0 %" : `${+(100 - 100 / 10 ** n).toFixed(Math.max(0, n - 2))} %`);
    }
    for (let e = Math.floor(low); e <= high; e++) {
      for (const n of high - low < 2 ? [1, 2, 5] : [1]) {
        const nanos = n * 10 ** e;
        if (Math.log10(nanos) < low || Math.log10(nanos) > high) continue;
        make("line", { class: "grid", x1: left, x2: right, y1: y(nanos), y2: y(nanos) }, self.svg);
        label(self.svg, left - 8, y(nanos) + 4, tick(nanos), "end");
      }
    }
    make("rect", { class: "axis", x: left, y: top, width: right - left, height: bottom - top, fill: "none" }, self.svg);
    for (const { name, points, count: n } of curves) {
      let before = 0, path = "";
      for (const [q, nanos] of points) {
        path += `${path ? "L" : "M"}${x(rare(before, n)).toFixed(1)} ${y(nanos).toFixed(1)}L${x(rare(q, n)).toFixed(1)} ${y(nanos).toFixed(1)}`;
        before = q;
      }
      make("path", { class: `series ${name}`, d: path }, self.svg);
    }
    const cursor = make("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" }, self.svg);
    let chosen = 0;
    self.hide = () => { self.tip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
    const point = (r) => {
      chosen = Math.max(0, Math.min(nines, r));
      const q = 1 - 10 ** -chosen;
      for (const [key, value] of Object.entries({ x1: x(chosen), x2: x(chosen), visibility: "visible" })) cursor.setAttribute(key, value);
      const lines = curves.map(({ title, points }) => `${title}: ${time((points.find(([share]) => share >= q) ?? points.at(-1))[1])}`);
      show(self, x(chosen), top + 70, `${+(100 * q).toFixed(Math.max(1, Math.ceil(chosen)))} % took at most\n${lines.join("\n")}`);
    };
    self.svg.onpointermove = (event) => {
      const r = (place(self, event)[0] - left) / (right - left) * nines;
      if (r < 0 || r > nines) self.hide(); else point(r);
    };
    self.svg.onkeydown = (event) => {
      const move = { ArrowLeft: -0.1, ArrowRight: 0.1 }[event.key];
      if (!move) return;
      event.preventDefault();
      point(chosen + move);
    };
  };

  const faults = (second) => `${count(second.faults)} ${second.faults === 1 ? "fault" : "faults"}`;
  const answered = { name: "response", of: (second) => second.answered / (second.length || 1) };
  const asked = { name: "asked", of: (second) => second.intended / (second.length || 1) };
  const rates = data.open ? [asked, answered] : [answered];
  const tellRate = (second) => [
    ...(data.open ? [`${count(asked.of(second))}/s asked`] : []),
    `${count(answered.of(second))}/s answered`, faults(second),
    ...(second.p50 === null ? [] : [`p50 ${time(second.p50)}, p99 ${time(second.p99)}`]),
  ].join("\n");
  if (data.heat.columns.length > 0) chart("heat", 340, drawHeat);
  chart("rate", 150, overTime(rates, tellRate));
  chart("faults", 90, overTime([{ name: "faults", of: (second) => second.faults, bars: true }], faults));
  chart("quantiles", 330, drawQuantiles);
  document.documentElement.dataset.drawn = "yes";
})();
