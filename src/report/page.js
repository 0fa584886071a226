"use strict";
// Threshold: the page has the bins of all pairs; the threshold is the largest bin edge with at most the given rate.
(() => {
  const form = document.getElementById("threshold");
  const store = document.getElementById("pairs-data");
  if (!form || !store) return;
  const slider = document.getElementById("far-slider");
  const field = document.getElementById("far-number");
  const said = document.getElementById("threshold-said");
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const evaluations = JSON.parse(store.textContent).map((e) => ({
    ...e,
    allSame: sum(e.same),
    allDifferent: sum(e.different),
  }));

  // Operating point at the largest bin edge with a false-accept rate of at most `far`.
  const at = (e, far) => {
    let bin = 0, same = 0, different = 0;
    while (bin < e.same.length && different + e.different[bin] <= far * e.allDifferent) {
      same += e.same[bin];
      different += e.different[bin];
      bin += 1;
    }
    return { threshold: (e.first + bin) * e.width, same, different };
  };
  const percent = (share) => {
    const value = 100 * share;
    const digits = value === 0 || value >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(value)));
    return value.toFixed(digits) + " %";
  };
  const count = (n) => n.toLocaleString("en");

  const box = document.querySelector(".histograms");
  const lines = [...box.querySelectorAll("svg.chart")].map((svg) => {
    const line = document.createElementNS(svg.namespaceURI, "line");
    line.setAttribute("class", "threshold-line");
    line.setAttribute("stroke", "currentColor");
    line.setAttribute("stroke-width", "1.5");
    line.setAttribute("stroke-dasharray", "5 4");
    svg.append(line);
    return { svg, line };
  });
  const number = (name) => Number(box.dataset[name]);
  const draw = ({ svg, line }, threshold) => {
    const { width, height } = svg.viewBox.baseVal;
    const [left, right] = [number("left"), width - number("right")];
    const share = (threshold - number("from")) / (number("to") - number("from"));
    const x = left + Math.min(1, Math.max(0, share)) * (right - left);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.setAttribute("y1", number("top"));
    line.setAttribute("y2", height - number("bottom"));
  };

  const show = (far) => {
    const words = [];
    evaluations.forEach((e, index) => {
      const row = form.querySelector(`tr[data-row="${index}"]`);
      const put = (cell, text) => { row.querySelector(`[data-cell="${cell}"]`).textContent = text; };
      if (!e.allSame || !e.allDifferent) {
        ["threshold", "far", "accepted", "tar", "refused"].forEach((cell) => put(cell, "–"));
        return;
      }
      const p = at(e, far);
      put("threshold", p.threshold.toFixed(4));
      put("far", percent(p.different / e.allDifferent));
      put("accepted", `${count(p.different)} of ${count(e.allDifferent)}`);
      put("tar", percent(p.same / e.allSame));
      put("refused", `${count(e.allSame - p.same)} of ${count(e.allSame)}`);
      words.push(`${row.querySelector("th").textContent.trim()}: threshold ${p.threshold.toFixed(4)}, ` +
        `true-accept rate ${percent(p.same / e.allSame)}`);
      if (lines[index]) draw(lines[index], p.threshold);
    });
    slider.setAttribute("aria-valuetext", percent(far));
    said.textContent = words.join("; ");
  };
  const fromSlider = () => {
    const far = 10 ** Number(slider.value);
    field.value = String(Number((100 * far).toPrecision(3)));
    show(far);
  };
  slider.addEventListener("input", fromSlider);
  field.addEventListener("input", () => {
    const far = Number(field.value) / 100;
    if (field.value === "" || !(far >= 0 && far <= 1)) return;
    if (far > 0) slider.value = String(Math.log10(far));
    show(far);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  fromSlider();
})();

// Ranked lists: the tab key stops at one list; up and down move between lists, left and right along a list.
(() => {
  const strips = [...document.querySelectorAll(".strip")];
  if (strips.length === 0) return;
  document.querySelectorAll(".keys").forEach((hint) => { hint.hidden = false; });
  const focusable = (chosen) => strips.forEach((strip) => { strip.tabIndex = strip === chosen ? 0 : -1; });
  focusable(strips[0]);
  strips.forEach((strip, index) => {
    strip.addEventListener("focus", () => focusable(strip));
    strip.addEventListener("keydown", (event) => {
      const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: strips.length - 1 }[event.key];
      if (to === undefined || event.altKey || event.ctrlKey || event.metaKey || !strips[to]) return;
      event.preventDefault();
      strips[to].focus({ preventScroll: true });
      strips[to].closest(".query").scrollIntoView({ block: "nearest" });
    });
  });
})();
