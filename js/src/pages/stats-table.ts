/**
 * The rows of a table. Values of the server are inserted as text only.
 */

/**
 * Fill the body of a table, and hide the table if there are no rows. The first cell of a row is its
 * header.
 */
export function fillTable(container: HTMLElement, rows: (string | number)[][]): void {
  const body = container.querySelector("tbody")!;
  body.replaceChildren(...rows.map(rowOf));
  container.hidden = rows.length === 0;
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
