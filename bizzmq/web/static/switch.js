// The switch between the system's theme, light, and dark.
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const LABEL = { auto: "System", light: "Light", dark: "Dark" };

export function switchTheme(button) {
  if (!button) return;
  const show = () => { 
    button.textContent = LABEL[document.documentElement.dataset.theme || "auto"];
    button.setAttribute("aria-label", `Theme: ${button.textContent.toLowerCase()}`);
  };
  button.addEventListener("click", () => {
    const next = NEXT[document.documentElement.dataset.theme || "auto"];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try { localStorage.setItem("bizzmq-theme", next); } catch (error) { /* for this page only, then */ }
    show();
  });
  show();
  button.hidden = false;
}
