// The structure that a recorded step was made for, as a key: it moves with every change that the recording could not
// see (freezing, train and eval, a replaced module, another parameter group), so that compiled steps trace again.
// What flips between two values (a module's mode, a parameter's requiresGrad) is part of the key as it stands: after
// train → eval → train the recordings of the first are found again.

import { threefry } from "../core/random.ts";

let changes = 0;
const flipped: [number, number] = [0, 0];
const words = new WeakMap<object, [number, number]>();
let named = 0;

/** Something was added or replaced: nothing recorded before is of use. */
export function structureChanged(): void {
  changes++;
}

/** The one two-valued property of `owner` that matters has flipped. */
export function structureFlipped(owner: object): void {
  let word = words.get(owner);
  if (!word) {
    word = threefry(0x7374_7275, 0x6374_7572, named++, 0);
    words.set(owner, word);
  }
  flipped[0] ^= word[0];
  flipped[1] ^= word[1];
}

export function structureKey(): string {
  return `${changes}.${flipped[0]}.${flipped[1]}`;
}
