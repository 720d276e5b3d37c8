"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // One view of a gallery at a time, chosen by its thumbnail, its row in the table, or the address.
  for (const gallery of all(".gallery")) {
    const views = all(".view", gallery);
    const strip = gallery.querySelector(".thumbs");
    const links = all("a", strip);
    const show = (index) => {
      views.forEach((view, i) => view.classList.toggle("current", i === index));
      links.forEach((link, i) => {
        i === index ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
        if (i === index) strip.scrollLeft = link.offsetLeft - strip.offsetLeft - 60;
      });
    };
    views.forEach((view, i) => {
      for (const link of all('a[href="#' + view.id + '"]')) {
        link.addEventListener("click", (event) => {
          event.preventDefault();
          show(i);
          if (link.parentElement !== strip) gallery.closest("section").scrollIntoView();
        });
      }
    });
    strip.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const next = (links.indexOf(document.activeElement) + way + links.length) % links.length;
      show(next);
      links[next].focus();
    });
    show(Math.max(views.findIndex((view) => "#" + view.id === location.hash), 0));
  }

  // One picture on the left of the divider; the chosen layer on its right.
  for (const view of all(".view")) {
    const compare = view.querySelector(".compare");
    const over = compare.querySelector(".over");
    const tag = compare.querySelector(".tag.right");
    const first = { src: over.src, alt: over.alt };
    const slider = compare.querySelector("input");
    slider.addEventListener("input", () => compare.style.setProperty("--split", slider.value + "%"));
    const buttons = all("[data-layer]", view);
    for (const button of buttons) {
      const panel = view.querySelector(".panel." + button.dataset.layer + " img");
      button.addEventListener("click", () => {
        Object.assign(over, panel ? { src: panel.src, alt: panel.alt } : first);
        tag.textContent = button.textContent;
        buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
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

  // Reading the curves: one place, marked in every chart over the same.
  const charts = all(".chart").map((svg) => ({ svg, ...JSON.parse(svg.dataset.chart) }));
  const draw = (kind, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  for (const chart of charts) {
    const hover = chart.svg.querySelector(".hover");
    chart.dots = chart.series.map(({ kind }) => hover.appendChild(draw("circle", { class: "dot " + kind, r: 4 })));
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
  const mark = (step, over) => {
    for (const chart of charts.filter((other) => other.over === over)) {
      const { svg, plot, x, series, dots, digits, unit, told } = chart;
      const texts = [];
      series.forEach(({ name, points, at }, i) => {
        const k = nearest(points, step);
        dots[i].setAttribute("cx", at[k][0]);
        dots[i].setAttribute("cy", at[k][1]);
        const value = points[k][1].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
        texts.push((series.length > 1 ? name + " " : "") + value + unit);
      });
      const snapped = series[0].points[nearest(series[0].points, step)][0];
      const place = plot[0] + ((plot[1] - plot[0]) * (snapped - x[0])) / (x[1] - x[0] || 1);
      const line = svg.querySelector(".hover line");
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
      chart.readout.textContent = told.replace("{}", Math.round(snapped).toLocaleString("en")) + ": " + texts.join(", ");
      svg.classList.add("on");
    }
  };
  const clear = () => {
    for (const { svg, readout, ending } of charts) {
      svg.classList.remove("on");
      readout.textContent = ending;
    }
  };
  for (const { svg, plot, x, over } of charts) {
    let step = x[1];
    const within = (value) => Math.min(Math.max(value, x[0]), x[1]);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      step = within(x[0] + ((place - plot[0]) / (plot[1] - plot[0])) * (x[1] - x[0]));
      mark(step, over);
    });
    svg.addEventListener("pointerleave", clear);
    svg.addEventListener("blur", clear);
    svg.addEventListener("focus", () => mark(step, over));
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      step = within(step + (way * (x[1] - x[0])) / 50);
      mark(step, over);
    });
  }
})();
