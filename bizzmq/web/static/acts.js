// Asks before an act that cannot be taken back, selects rows, and sends a form once.

export function confirmActs(root) {
  let agreed = null;
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-confirm]");
    if (!button || button === agreed) return;
    event.preventDefault();
    ask(button.dataset.confirm, button.textContent.trim(), () => {
      agreed = button;
      button.click();
      agreed = null;
    });
  });
  root.addEventListener("change", (event) => {
    if (!event.target.matches("input[data-all]")) return;
    for (const box of root.querySelectorAll("input[name=id][type=checkbox]")) box.checked = event.target.checked;
  });
  root.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
    setTimeout(() => { delete event.target.dataset.sent; }, 4000);
  });
}

function ask(sentence, label, then) {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.id = "ask";
  text.textContent = sentence;
  dialog.setAttribute("aria-labelledby", "ask");
  const tools = document.createElement("div");
  tools.className = "tools";
  const no = document.createElement("button"), yes = document.createElement("button");
  no.type = yes.type = "button";
  no.textContent = "Keep as it is";
  yes.textContent = label;
  yes.className = "primary";
  tools.append(no, yes);
  dialog.append(text, tools);
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => { dialog.close(); then(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
}
