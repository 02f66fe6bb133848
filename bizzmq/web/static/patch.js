// Changes an element to what a new one shows, node by node, so that focus, selection, open details and checked boxes stay.

export function patch(element, html) {
  const fresh = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html").querySelector("main");
  patchChildren(element, fresh);
}

function patchChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const match = keyOf(wanted) ? keyed.get(keyOf(wanted)) : nextAlike(at, wanted);
    if (!match || !isAlike(match, wanted)) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    keyed.delete(keyOf(match));
    at = removedUpTo(match, at, keyed);
    if (match !== at) old.insertBefore(match, at); // it has overtaken others
    else at = at.nextSibling;
    patchNode(match, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// The first node from here on that can become the wanted one. Nodes with a key are found by their key only, and a text
// only where it is due: it is cheap to make anew, and what lies before a later one would be lost.
function nextAlike(from, wanted) {
  let node = from;
  if (wanted.nodeType !== Node.ELEMENT_NODE) return node && isAlike(node, wanted) ? node : null;
  while (node && (keyOf(node) || !isAlike(node, wanted))) node = node.nextSibling;
  return node;
}

// Removes the nodes before a match that nothing can match any more: moving the match instead would lose its focus.
function removedUpTo(match, from, keyed) {
  let node = from;
  while (node && node !== match && !(keyOf(node) && keyed.get(keyOf(node)) === node)) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
  return node;
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || "" : "";
}

function isAlike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function patchNode(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-static")) return; // also if somebody else has the list read anew
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!(old instanceof HTMLInputElement || old instanceof HTMLTextAreaElement)) patchChildren(old, fresh);
}
