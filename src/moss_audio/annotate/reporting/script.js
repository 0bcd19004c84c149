"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];

  // ---- one card: seeking, playhead, keys, zoom
  function setUp(card) {
    const audio = card.querySelector("audio");
    const viewer = card.querySelector(".viewer");
    if (!audio || !viewer) return;
    const seconds = Number(card.dataset.seconds) || 1;
    const items = [...viewer.querySelectorAll(".item")].map((node) => ({
      node, start: Number(node.dataset.start), end: Number(node.dataset.end),
    }));

    function show() {
      const at = audio.currentTime;
      viewer.style.setProperty("--at", Math.min(at / seconds, 1));
      for (const item of items) {
        const now = at > 0 && item.start <= at && at < item.end;
        if (now !== item.now) item.node.classList.toggle("now", (item.now = now));
      }
    }
    function follow() {
      show();
      if (!audio.paused) requestAnimationFrame(follow);
    }
    function keepInView() {
      // Only an enlarged time axis is wider than its frame.
      if (viewer.scrollWidth <= viewer.clientWidth + 1) return;
      const track = viewer.querySelector(".track");
      const x = (audio.currentTime / seconds) * track.clientWidth;
      const room = viewer.clientWidth - labelWidth();
      if (x < viewer.scrollLeft || x > viewer.scrollLeft + room * 0.92) {
        viewer.scrollLeft = Math.max(0, x - room * 0.2);
      }
    }
    function labelWidth() {
      return parseFloat(getComputedStyle(viewer).getPropertyValue("--label")) || 0;
    }
    function seek(to) {
      audio.currentTime = Math.min(Math.max(to, 0), seconds);
      show();
    }
    function listen(to) {
      seek(to);
      audio.play().catch(() => {}); // a browser may ask for a click on the player first
    }
    // Text in an item that has no room for it would be cut inside a letter: the title has it.
    function fit() {
      if (!card.open) return;
      for (const { node } of items) node.classList.remove("narrow");
      const narrow = items.filter(({ node }) => node.clientWidth < 22
        || (node.clientWidth < 60 && node.scrollWidth > node.clientWidth));
      for (const { node } of narrow) node.classList.add("narrow");
    }
    function enlarge(button) {
      const zoom = Number(button.dataset.zoom);
      viewer.style.setProperty("--zoom", zoom);
      viewer.classList.toggle("near", zoom >= 4);
      for (const one of card.querySelectorAll(".zoom button")) {
        one.setAttribute("aria-pressed", String(one === button));
      }
      // The new width is known to the scroll bar only after layout.
      requestAnimationFrame(() => { viewer.scrollLeft = 0; keepInView(); fit(); });
    }

    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      follow();
    });
    for (const name of ["seeked", "pause", "ended"]) audio.addEventListener(name, show);
    audio.addEventListener("timeupdate", () => { show(); keepInView(); });
    card.addEventListener("click", (event) => {
      const timed = event.target.closest("[data-start]");
      const track = event.target.closest(".seekable");
      const zoom = event.target.closest("[data-zoom]");
      if (timed) listen(Number(timed.dataset.start));
      else if (zoom) enlarge(zoom);
      else if (track) {
        const box = track.getBoundingClientRect();
        seek(((event.clientX - box.left) / box.width) * seconds);
      }
    });
    // One stop of the Tab key a lane; arrows go on from there.
    viewer.addEventListener("keydown", (event) => {
      const from = event.target.closest(".item");
      if (!from) {
        if (event.target === viewer && event.key === " ") {
          event.preventDefault();
          if (audio.paused) audio.play().catch(() => {}); else audio.pause();
        }
        return;
      }
      const lane = [...from.parentElement.querySelectorAll(".item")];
      const at = lane.indexOf(from);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: lane.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = lane[Math.min(Math.max(to, 0), lane.length - 1)];
      from.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    card.addEventListener("toggle", () => { if (card.open) fit(); else audio.pause(); });
    new ResizeObserver(fit).observe(viewer);
    fit();
  }

  // ---- search
  function setUpFilter() {
    const form = document.querySelector(".filter");
    if (!form) return;
    const query = form.querySelector("#query");
    const group = form.querySelector("#group");
    const openAll = form.querySelector("#open-all");
    form.hidden = false;
    function apply() {
      const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const card of cards) {
        const fits = (!group.value || card.dataset.group === group.value)
          && words.every((word) => card.dataset.search.includes(word));
        card.hidden = !fits;
        if (fits) shown += 1; else card.querySelector("audio")?.pause();
      }
      form.querySelector("#found").textContent = `${shown} of ${cards.length}`;
      document.querySelector("#nothing").hidden = shown > 0;
    }
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    openAll.addEventListener("click", () => {
      const open = openAll.textContent === "Open all";
      for (const card of cards) card.open = open;
      openAll.textContent = open ? "Close all" : "Open all";
    });
    apply();
  }

  cards.forEach(setUp);
  setUpFilter();
})();
