// Follows the events of a page: what has changed, and whether Redis and the dashboard can be reached.
import { patch } from "./patch.js";

const SILENT_MS = 20000;
const AGAIN_MS = 3000;

export function follow(main) {
  const live = document.getElementById("live");
  const trouble = document.getElementById("trouble");
  let source = null, heard = Date.now(), again = 0;

  function say(state, label, sentence) {
    live.className = `live ${state}`;
    if (live.textContent !== label) live.textContent = label;
    if (sentence && trouble.textContent !== sentence) trouble.textContent = sentence;
    trouble.hidden = !sentence;
    main.classList.toggle("stale", state === "off");
  }

  function open() {
    close();
    heard = Date.now();
    source = new EventSource(main.dataset.events);
    source.addEventListener("page", (event) => {
      heard = Date.now();
      if ("trouble" in main.dataset) { location.reload(); return; } // the page was loaded while Redis was away
      patch(main, JSON.parse(event.data).html);
      say("", "Live");
    });
    source.addEventListener("alive", () => { heard = Date.now(); say("", "Live"); });
    source.addEventListener("trouble", (event) => {
      heard = Date.now();
      say("off", "Away", `${JSON.parse(event.data).sentence} What is shown may be old. This page comes back by itself.`);
    });
    source.addEventListener("error", lost);
  }

  function close() {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  }

  function lost() {
    close();
    say("off", "Away", "The dashboard cannot be reached, or your session has ended. What is shown may be old. This page comes back by itself.");
    again = setTimeout(open, AGAIN_MS);
  }

  setInterval(() => { if (source && Date.now() - heard > SILENT_MS) lost(); }, 2000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); say("waiting", "Paused"); } else open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}
