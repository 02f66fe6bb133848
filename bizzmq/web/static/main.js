// What a page does in the browser. Everything works without it, except for live changes and confirmations.
import { confirmActs } from "./acts.js";
import { follow } from "./live.js";
import { switchTheme } from "./switch.js";

switchTheme(document.getElementById("theme"));
confirmActs(document);
const main = document.getElementById("main");
if (main && main.dataset.events) follow(main);
