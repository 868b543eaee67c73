// The epoch of structure: moves with every change that a recorded step could not see (freezing, train and eval, a
// replaced module, another parameter group), so that compiled steps trace again.

let epoch = 0;

export function structureChanged(): void {
  epoch++;
}

export function structureEpoch(): number {
  return epoch;
}
