// Before anything is drawn: the colours and the language that were chosen here before.
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("console.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
})();
