"use strict";
const root = document.documentElement;
const button = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const say = () => {
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(isDark()));
  button.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
};
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch (refused) { /* a file may have no storage */ }
  say();
});
dark.addEventListener("change", say);
say();

const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const compare = (one, other, numbers) => (numbers ? Number(one) - Number(other) : one.localeCompare(other, "en", { numeric: true }));
for (const head of document.querySelectorAll("th")) {
  head.firstElementChild.addEventListener("click", () => {
    const column = head.cellIndex;
    const numbers = head.classList.contains("number");
    const next = { ascending: "descending", descending: "ascending", none: numbers ? "descending" : "ascending" };
    const order = next[head.getAttribute("aria-sort")];
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const body = head.closest("table").tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((first, second) => {
      const [one, other] = [key(first, column), key(second, column)];
      if (!one || !other) return Number(!one) - Number(!other); // empty cells stay last
      return sign * compare(one, other, numbers);
    });
    body.append(...rows);
  });
}
