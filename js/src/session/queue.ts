/**
 * A list that grows at its end and loses its beginning. No DOM.
 */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** What stands at an index from 0 on; nothing outside. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Take the newest. */
  pop(): T | undefined {
    return this.length > 0 ? this.#items.pop() : undefined;
  }

  /** Take the oldest: in constant time on average, which `Array.shift` is not for long arrays. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    // It must not be held until there is so much room that it is worth moving everything.
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
