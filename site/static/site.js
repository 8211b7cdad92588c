// The flow on the landing page, and what a keyboard needs on every page.

function moveFlow(figure) {
  const canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d");
  const clock = figure.querySelector("output"), button = figure.querySelector("button");
  const times = figure.dataset.times.split(" ").map(Number);
  const bytes = Uint8Array.from(atob(figure.dataset.places), (letter) => letter.charCodeAt(0));
  const places = new Int16Array(bytes.buffer), n = places.length / 2 / times.length;
  const noise = [116, 135, 163], data = [224, 123, 0];
  const scale = canvas.width / 5400, middle = canvas.width / 2;
  const REST = 900, MOVE = 5200, SHOW = 2200, BACK = 700; // milliseconds

  const place = (i) => [middle + scale * places[i], middle - scale * places[i + 1]];
  const between = (i, j, share) => {
    const [a, b] = [place(i), place(j)];
    return [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
  };
  // between two computed times every point is on the straight line between its two places
  const draw = (t, opacity) => {
    const last = times.length - 1;
    let k = times.findIndex((time) => time > t) - 1;
    if (k < 0) k = last - 1;
    const share = (t - times[k]) / (times[k + 1] - times[k]), before = 2 * n * k, after = before + 2 * n;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 0.3 * opacity;
    pen.strokeStyle = "#00946b";
    pen.lineWidth = 1.6;
    for (let i = 0; i < 180; i += 2) { // the ways of some of the points until now
      pen.beginPath();
      for (let j = 0; j <= k; j++) pen.lineTo(...place(2 * n * j + i));
      pen.lineTo(...between(before + i, after + i, share));
      pen.stroke();
    }
    pen.globalAlpha = 0.75 * opacity;
    pen.fillStyle = `rgb(${noise.map((c, j) => Math.round(c + (data[j] - c) * t ** 1.5)).join(" ")})`;
    for (let i = 0; i < 2 * n; i += 2) {
      pen.beginPath();
      pen.arc(...between(before + i, after + i, share), 4.2, 0, 7);
      pen.fill();
    }
    clock.textContent = `t = ${t.toFixed(2)}`;
  };

  let elapsed = 0, previous = null, running = false;
  const frame = (now) => {
    if (!running) return;
    elapsed = (elapsed + Math.min(now - (previous ?? now), 100)) % (REST + MOVE + SHOW + BACK);
    previous = now;
    const s = Math.min(Math.max((elapsed - REST) / MOVE, 0), 1), fading = elapsed - REST - MOVE - SHOW;
    draw(s, fading > 0 ? 1 - fading / BACK : Math.min(elapsed / 300, 1));
    requestAnimationFrame(frame);
  };
  const run = (yes) => {
    running = yes;
    previous = null;
    button.textContent = yes ? "Pause" : "Play";
    if (yes) requestAnimationFrame(frame);
  };
  button.addEventListener("click", () => run(!running));
  draw(matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : 0, 1);
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

// A displayed formula that is a little too wide for the page is set smaller; one that is much too wide scrolls.
function fit() {
  for (const formula of document.querySelectorAll('article mjx-container[display="true"]')) {
    formula.style.fontSize = formula.dataset.size ??= formula.style.fontSize; // as MathJax made it
    const usual = parseFloat(getComputedStyle(formula).fontSize);
    const share = formula.parentElement.clientWidth / Math.max(formula.scrollWidth, formula.parentElement.scrollWidth);
    if (share < 1 && share > 0.74) formula.style.fontSize = `${0.99 * share * usual}px`;
  }
}

// What scrolls sideways can be reached with the Tab key, and says so to a screen reader.
function reachable() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .math, mjx-container, .output, .course-widget")) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(box).overflowX);
    if (scrolls) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  }
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("figure.flow").forEach(moveFlow));
function settle() {
  fit();
  reachable();
}

addEventListener("load", () => {
  reachable();
  window.MathJax?.startup?.promise?.then(settle);
});
addEventListener("resize", settle);
document.addEventListener("toggle", settle, true);
