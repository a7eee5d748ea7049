/**
 * The rows of a table. Values of the server are inserted as text only.
 */

/** A number as it is shown, which is aligned with the others of its column. */
export interface Quantity {
  quantity: string;
}

/** The content of a cell. */
export type Cell = string | Quantity;

/**
 * Fill the body of a table, and hide the table if there are no rows. The first cell of a row is its
 * header.
 */
export function fillTable(container: HTMLElement, rows: Cell[][]): void {
  const body = container.querySelector("tbody")!;
  body.replaceChildren(...rows.map(rowOf));
  container.hidden = rows.length === 0;
  const heads = container.querySelectorAll("thead th");
  rows[0]?.forEach((cell, index) => heads[index]?.classList.toggle("number", typeof cell !== "string"));
}

function rowOf(cells: Cell[]): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.append(
    ...cells.map((content, index) => {
      const cell = document.createElement(index === 0 ? "th" : "td");
      if (index === 0) cell.setAttribute("scope", "row");
      if (typeof content !== "string") cell.className = "number";
      cell.textContent = typeof content === "string" ? content : content.quantity;
      return cell;
    }),
  );
  return row;
}
