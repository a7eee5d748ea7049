/**
 * The rows of a table: text only, whatever the server says.
 */

/**
 * Fill a table that has its head already; without rows it is hidden. The first cell of a row names
 * it, numbers stand right.
 */
export function fillTable(place: HTMLElement, rows: (string | number)[][]): void {
  const body = place.querySelector("tbody")!;
  body.replaceChildren(...rows.map(rowOf));
  place.hidden = rows.length === 0;
}

function rowOf(cells: (string | number)[]): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.append(
    ...cells.map((text, index) => {
      const cell = document.createElement(index === 0 ? "th" : "td");
      if (index === 0) cell.setAttribute("scope", "row");
      cell.textContent = String(text);
      return cell;
    }),
  );
  return row;
}
