// Before the first paint: the theme that was chosen here, if one was. Otherwise the system's.
try {
  const theme = localStorage.getItem("cairn-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
