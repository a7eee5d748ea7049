import { expect, test } from "vitest";
import { Queue } from "./queue";

function items(queue: Queue<number>): (number | undefined)[] {
  return Array.from({ length: queue.length }, (_, index) => queue.at(index));
}

test("behaves like an array", () => {
  const queue = new Queue<number>();
  const array: number[] = [];
  // The queue grows, shrinks, is emptied and grows again.
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

test("removes the oldest item without moving the others each time", () => {
  const queue = new Queue<number>();
  for (let number = 0; number < 200_000; number += 1) queue.push(number);
  const began = performance.now();
  for (let number = 0; number < 100_000; number += 1) {
    queue.push(number);
    queue.shift();
  }
  // With Array.shift, this takes about two seconds.
  expect(performance.now() - began).toBeLessThan(500);
  expect(queue.length).toBe(200_000);
});
