/**
 * Buttons that copy the text of an element. Without JavaScript they stay hidden: they could do
 * nothing, and the text can be selected.
 */

/** How long a button says what it did, in milliseconds. */
const SAID_FOR = 2000;

/** Make every `[data-copy]` button of a page copy the element whose id it names. */
export function enableCopyButtons(root: Document, say: (text: string) => void): void {
  for (const button of root.querySelectorAll<HTMLButtonElement>("button[data-copy]")) {
    const source = root.getElementById(button.dataset.copy ?? "");
    if (!source) continue;
    const label = button.textContent;
    let timer: ReturnType<typeof setTimeout> | undefined;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = await copy(source);
      button.textContent = copied ? "Copied" : "Selected";
      say(copied ? "Copied." : "The text is selected; copy it with the keyboard.");
      clearTimeout(timer);
      timer = setTimeout(() => {
        button.textContent = label;
        say("");
      }, SAID_FOR);
    });
  }
}

/** Copy an element's text; if the browser refuses, select it for the person to copy. */
async function copy(source: HTMLElement): Promise<boolean> {
  try {
    // There is no clipboard in a page that came over http from another machine.
    await navigator.clipboard.writeText(source.textContent ?? "");
    return true;
  } catch {
    source.focus();
    getSelection()?.selectAllChildren(source);
    return false;
  }
}
