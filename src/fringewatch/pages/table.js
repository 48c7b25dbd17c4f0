// Tables that are sorted by a click on a column's head and filtered by words and by the state of a row.
for (const section of document.querySelectorAll("section.listing")) {
  const table = section.querySelector("table"), body = table.tBodies[0];
  const filter = section.querySelector("input[type=search]"), buttons = [...section.querySelectorAll("[data-state]")];
  let state = "";
  const apply = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of body.rows)
      row.hidden = (state && row.className !== state) || (wanted && !row.textContent.toLowerCase().includes(wanted));
  };
  filter.addEventListener("input", apply);
  for (const button of buttons) button.addEventListener("click", () => {
    state = button.dataset.state;
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    apply();
  });
  for (const button of table.tHead.querySelectorAll("button")) button.addEventListener("click", () => {
    const header = button.parentElement, numeric = "n" in button.dataset;
    const down = header.ariaSort ? header.ariaSort === "ascending" : numeric;
    for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = numeric ? row => Number(row.cells[header.cellIndex].dataset.v) : row => row.cells[header.cellIndex].textContent;
    const order = [...body.rows].map(row => [key(row), row]).sort(([a], [b]) => numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    body.append(...(down ? order.reverse() : order).map(([, row]) => row));
  });
}
