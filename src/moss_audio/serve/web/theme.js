// Before anything is painted: the theme that was chosen here, or else the system's.
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("moss-audio-theme");
    } catch {
      return null; // storage is switched off
    }
  };
  const show = () => {
    root.dataset.theme = chosen() || (dark.matches ? "dark" : "light");
    root.dispatchEvent(new Event("theme"));
  };
  dark.addEventListener("change", show);
  show();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const tell = () => button.setAttribute("aria-pressed", root.dataset.theme === "dark");
    root.addEventListener("theme", tell);
    tell();
    button.addEventListener("click", () => {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("moss-audio-theme", next);
      } catch {
        // it lasts as long as the page then
      }
      root.dataset.theme = next;
      root.dispatchEvent(new Event("theme"));
    });
  });
}
