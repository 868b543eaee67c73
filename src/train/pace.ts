// How fast a run goes and how long it will take: smoothed images per second, and seconds of a validation.

export class Pace {
  readonly #perEpoch: number;
  readonly #perValidation: number;
  #from = 0;
  #since = 0;
  /** Images per second; 0 while nothing is known. */
  #rate = 0;
  #validation: number | null = null;
  readonly #now: () => number;

  /** Of an epoch of `perEpoch` images, then a validation of `perValidation`. */
  constructor(perEpoch: number, perValidation: number, now: () => number = () => performance.now()) {
    this.#perEpoch = perEpoch;
    this.#perValidation = perValidation;
    this.#now = now;
  }

  /** An epoch goes on at image `done`. */
  begin(done: number): void {
    this.#from = done;
    this.#since = this.#now();
  }

  /** `done` images of the epoch are through. */
  trained(done: number): void {
    const now = this.#now();
    if (done <= this.#from || now <= this.#since) return;
    const rate = (1000 * (done - this.#from)) / (now - this.#since);
    // The first steps compile kernels: later ones count more.
    this.#rate = this.#rate === 0 ? rate : 0.7 * this.#rate + 0.3 * rate;
    this.#from = done;
    this.#since = now;
  }

  validated(seconds: number): void {
    this.#validation = seconds;
  }

  /** Speed, and seconds left with `done` images of this epoch through and `epochs` more to come. */
  estimate(done: number, epochs: number): { imagesPerSecond: number; secondsLeft: number } {
    const rate = this.#rate || Number.POSITIVE_INFINITY;
    // A forward pass is about a third of a step.
    const validation = this.#validation ?? this.#perValidation / (3 * rate);
    const images = Math.max(0, this.#perEpoch - done) + epochs * this.#perEpoch;
    return { imagesPerSecond: this.#rate, secondsLeft: images / rate + (epochs + 1) * validation };
  }
}
