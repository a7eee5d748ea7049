import { expect, test } from "vitest";
import { Queue } from "./queue";

function items(queue: Queue<number>): (number | undefined)[] {
  return Array.from({ length: queue.length }, (_, index) => queue.at(index));
}

test("is an array, whatever is done to it", () => {
  const queue = new Queue<number>();
  const array: number[] = [];
  // Grows, shrinks, is emptied and grows again.
  for (let turn = 0; turn < 400; turn += 1) {
    if ((turn * 7) % 10 < (turn < 200 ? 6 : 3)) {
      queue.push(turn);
      array.push(turn);
    } else if (turn % 3) {
      expect(queue.shift()).toBe(array.shift());
    } else {
      expect(queue.pop()).toBe(array.pop());
    }
    expect(items(queue)).toEqual(array);
  }
  expect(queue.at(queue.length)).toBeUndefined();
});

test("takes its oldest away without moving all others each time", () => {
  const queue = new Queue<number>();
  for (let number = 0; number < 200_000; number += 1) queue.push(number);
  const began = performance.now();
  for (let number = 0; number < 100_000; number += 1) {
    queue.push(number);
    queue.shift();
  }
  // Array.shift takes some twenty microseconds here, and so two seconds.
  expect(performance.now() - began).toBeLessThan(500);
  expect(queue.length).toBe(200_000);
});
