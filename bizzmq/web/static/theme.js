// Chooses the theme before anything is drawn. It is no module, because modules run too late for that.
(function () {
  "use strict";
  try {
    const chosen = localStorage.getItem("bizzmq-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (error) { /* storage is closed to this site: the system's theme it is */ }
})();
