/**
 * A queue with constant-time access by index. No DOM.
 */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The item at an index, counted from 0; nothing if it is out of range. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index];
  }

  /** Replace the item at an index in range. */
  set(index: number, item: T): void {
    this.#items[this.#head + index] = item;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Remove and return the newest item. */
  pop(): T | undefined {
    return this.length > 0 ? this.#items.pop() : undefined;
  }

  /** Remove and return the oldest item, in amortized constant time (unlike `Array.shift`). */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    // Release the item now. The array itself is compacted only when half of it is unused.
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
