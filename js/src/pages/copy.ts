/**
 * Buttons that copy the text of an element. Without JavaScript, they stay hidden.
 */

/** How long a button shows its result, in milliseconds. */
const RESULT_DURATION = 2000;

/**
 * Enable the `[data-copy]` buttons of a page. The value is the id of the element to copy. What the button
 * shows then, and what is announced, is in `data-copied`, `data-copied-more` and the like.
 *
 * @param announce - gets texts for screen readers
 */
export function enableCopyButtons(root: Document, announce: (text: string) => void): void {
  for (const button of root.querySelectorAll<HTMLButtonElement>("button[data-copy]")) {
    const source = root.getElementById(button.dataset.copy ?? "");
    if (!source) continue;
    const label = button.textContent;
    let timer: ReturnType<typeof setTimeout> | undefined;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = await copy(source);
      const texts = button.dataset;
      button.textContent = (copied ? texts.copied : texts.selected) ?? null;
      announce((copied ? texts.copiedMore : texts.selectedMore) ?? "");
      clearTimeout(timer);
      timer = setTimeout(() => {
        button.textContent = label;
        announce("");
      }, RESULT_DURATION);
    });
  }
}

/** Copy the text of an element. If the browser refuses, select it, so that the user can copy it. */
async function copy(source: HTMLElement): Promise<boolean> {
  try {
    // Pages loaded over http from another machine have no clipboard.
    await navigator.clipboard.writeText(source.textContent ?? "");
    return true;
  } catch {
    source.focus();
    getSelection()?.selectAllChildren(source);
    return false;
  }
}
