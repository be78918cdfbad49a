// Shows what is new every few seconds, and keeps the place of whoever reads.
"use strict";
(() => {
  const pause = document.createElement("button");
  pause.type = "button";
  pause.id = "pause";
  let paused = false;
  const label = () => {
    pause.textContent = paused ? "Refresh again" : "Stop refreshing";
  };
  label();
  pause.addEventListener("click", () => {
    paused = !paused;
    label();
  });
  document.querySelector("header").append(pause);

  const places = (root) =>
    new Map([...root.querySelectorAll(".wide")].map((box) => [box.getAttribute("aria-labelledby"), box]));

  const show = (fresh) => {
    const main = document.querySelector("main");
    const next = fresh.querySelector("main");
    const verdict = fresh.getElementById("verdict");
    if (!next || !verdict) throw new Error("another page");
    const before = places(main);
    const focused = document.activeElement?.getAttribute("aria-labelledby");
    main.replaceWith(document.adoptNode(next));
    for (const [name, box] of places(next)) {
      box.scrollLeft = before.get(name)?.scrollLeft ?? 0;
      if (name === focused) box.focus({ preventScroll: true });
    }
    const told = document.getElementById("verdict");
    // Told aloud only where it changed.
    if (told.textContent !== verdict.textContent) {
      told.textContent = verdict.textContent;
      told.className = verdict.className;
    }
    document.title = fresh.title;
  };

  const look = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      document.body.removeAttribute("data-stale");
    } catch {
      document.body.setAttribute("data-stale", "");
      const told = document.getElementById("verdict");
      told.textContent = "The gateway does not answer: what is below is old.";
      told.className = "broken";
    }
  };
  setInterval(look, 5000);
})();
