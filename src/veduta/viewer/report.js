"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // One view at a time, chosen by its thumbnail, its row in the table, or the address.
  const views = all(".view");
  const show = (index) => {
    views.forEach((view, i) => view.classList.toggle("current", i === index));
    for (const link of all(".thumbs a")) {
      const chosen = Number(link.dataset.view) === index;
      chosen ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
      if (chosen) link.parentElement.scrollLeft = link.offsetLeft - link.parentElement.offsetLeft - 60;
    }
  };
  for (const link of all("[data-view]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show(Number(link.dataset.view));
      if (!link.closest(".thumbs")) document.getElementById("views").scrollIntoView();
    });
  }
  const asked = views.findIndex((view) => "#" + view.id === location.hash);
  if (views.length) show(Math.max(asked, 0));
  document.addEventListener("keydown", (event) => {
    const strip = document.activeElement && document.activeElement.closest(".thumbs");
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!strip || !way) return;
    event.preventDefault();
    const links = all("a", strip);
    const next = links[(links.indexOf(document.activeElement) + way + links.length) % links.length];
    show(Number(next.dataset.view));
    next.focus();
  });

  // The photograph on the left of the divider; the render, the error or the depth on its right.
  for (const view of views) {
    const compare = view.querySelector(".compare");
    const over = compare.querySelector(".over");
    const tag = compare.querySelector(".tag.right");
    const layers = { render: { src: over.src, alt: over.alt } };
    for (const name of ["error", "depth"]) {
      const picture = view.querySelector(".panel." + name + " img");
      if (picture) layers[name] = { src: picture.src, alt: picture.alt };
    }
    const slider = compare.querySelector("input");
    slider.addEventListener("input", () => compare.style.setProperty("--split", slider.value + "%"));
    for (const button of all("[data-layer]", view)) {
      button.addEventListener("click", () => {
        Object.assign(over, layers[button.dataset.layer]);
        tag.textContent = button.textContent;
        all("[data-layer]", view).forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      });
    }
  }

  // Columns sort by their data-value; unknown values stay at the end.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const value = (row) => row.children[column].dataset.value;
        const order = (a, b) => {
          if (!column) return value(a).localeCompare(value(b), undefined, { numeric: true }) * (up ? 1 : -1);
          if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
          return (Number(value(a)) - Number(value(b))) * (up ? 1 : -1);
        };
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort(order));
      });
    });
  }

  // Reading the curves: one step, marked in every chart.
  const charts = all(".chart").map((svg) => ({ svg, ...JSON.parse(svg.dataset.chart) }));
  const draw = (kind, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  for (const chart of charts) {
    const hover = chart.svg.querySelector(".hover");
    chart.dots = chart.series.map((_, i) => hover.appendChild(draw("circle", { class: "dot s" + i, r: 4 })));
    chart.readout = chart.svg.parentElement.querySelector(".readout");
    chart.ending = chart.readout.textContent;
  }
  const nearest = (points, step) => {
    let low = 0;
    let high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      points[middle][0] <= step ? (low = middle) : (high = middle);
    }
    return step - points[low][0] <= points[high][0] - step ? low : high;
  };
  const mark = (step) => {
    for (const chart of charts) {
      const { svg, plot, x, series, dots, digits, unit } = chart;
      const texts = [];
      series.forEach(({ name, points, at }, i) => {
        const k = nearest(points, step);
        dots[i].setAttribute("cx", at[k][0]);
        dots[i].setAttribute("cy", at[k][1]);
        const value = points[k][1].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
        texts.push((series.length > 1 ? name + " " : "") + value + unit);
      });
      const place = plot[0] + ((plot[1] - plot[0]) * (step - x[0])) / (x[1] - x[0] || 1);
      const line = svg.querySelector(".hover line");
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
      chart.readout.textContent = "step " + Math.round(step).toLocaleString("en") + ": " + texts.join(", ");
      svg.classList.add("on");
    }
  };
  const clear = () => {
    for (const { svg, readout, ending } of charts) {
      svg.classList.remove("on");
      readout.textContent = ending;
    }
  };
  for (const { svg, plot, x } of charts) {
    let step = x[1];
    const within = (value) => Math.min(Math.max(value, x[0]), x[1]);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      step = within(x[0] + ((place - plot[0]) / (plot[1] - plot[0])) * (x[1] - x[0]));
      mark(step);
    });
    svg.addEventListener("pointerleave", clear);
    svg.addEventListener("blur", clear);
    svg.addEventListener("focus", () => mark(step));
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      step = within(step + (way * (x[1] - x[0])) / 50);
      mark(step);
    });
  }
})();
