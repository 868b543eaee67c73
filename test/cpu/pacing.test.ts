// How commands are shared out to submits: about 300 ms of estimated time each, evenly, nothing left out.
import { describe, expect, it } from "vitest";
import { atMost, stretches } from "../../src/gpu/pacing.ts";

const sums = (costs: readonly number[]) =>
  stretches(costs).map(([start, end]) => costs.slice(start, end).reduce((a, b) => a + b, 0));

describe("submits", () => {
  it("covers all commands once and in order, whatever they cost", () => {
    for (const costs of [[1], [0, 0, 0], [5, 900, 5], Array(1000).fill(1.7), [0.1, 0.2, 1e-9, 299, 301, 0]]) {
      const list = stretches(costs);
      expect(list[0][0]).toBe(0);
      expect(list.at(-1)?.[1]).toBe(costs.length);
      list.slice(1).forEach(([start], i) => {
        expect(start).toBe(list[i][1]);
      });
      expect(list.every(([start, end]) => end > start)).toBe(true);
    }
    expect(stretches([])).toEqual([]);
  });

  it("shares work evenly, and a little over the cap makes no submit of its own", () => {
    expect(sums(Array(61).fill(10))).toEqual([300, 310]);
    expect(stretches(Array(33).fill(10))).toHaveLength(1);
    expect(stretches(Array(34).fill(10))).toHaveLength(2);
    const many = sums(Array(700).fill(1.3));
    expect(many).toHaveLength(3);
    expect(Math.max(...many) - Math.min(...many)).toBeLessThan(3);
  });

  it("puts a command that is too long into a submit without much else", () => {
    const list = stretches([1, 1, 800, 1, 1]);
    expect(list.some(([start, end]) => start === 2 || end === 3)).toBe(true);
  });

  it("cuts further by number where that is asked for", () => {
    expect(
      atMost(
        [
          [0, 5],
          [5, 6],
        ],
        2,
      ),
    ).toEqual([
      [0, 2],
      [2, 4],
      [4, 5],
      [5, 6],
    ]);
  });
});
