// Dark or light. Without a choice the browser's setting holds.

import { useState } from "preact/hooks";

const NAME = "maskworks.theme";

const system = (): string => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

function apply(theme: string | null): void {
  if (theme) document.documentElement.dataset.theme = theme;
}

apply(localStorage.getItem(NAME));

export function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem(NAME) ?? system());
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    localStorage.setItem(NAME, other);
    apply(other);
    setTheme(other);
  };
  return (
    <button class="plain icon" onClick={change} aria-label={`Use ${other} colours`} title={`Use ${other} colours`}>
      {theme === "dark" ? "☀" : "☾"}
    </button>
  );
}
