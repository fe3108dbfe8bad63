// Before anything is painted, so that a dark page never flashes white. The rest is in theme.js.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("comfytrickle-theme");
  } catch {
    // storage is switched off: the system's choice it is
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen ?? (dark ? "dark" : "light");
}
