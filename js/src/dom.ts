/**
 * Small helpers for the pages' DOM.
 */

/** The element a template marked with `data-part`. */
export function part<T extends HTMLElement = HTMLElement>(root: ParentNode, name: string): T {
  const found = root.querySelector<T>(`[data-part="${name}"]`);
  if (!found) throw new Error(`The page has no part “${name}”.`);
  return found;
}

/** Set the text of an element, without touching the DOM if it is there already. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
