// Taking turns: many may work at once, or one alone.

/** Lets work run side by side, and now and then some of it with nothing beside it. */
export class Turns {
  #running = 0;
  /** Those that wait for, or have, a turn alone; while there are any, nothing new begins beside others. */
  #alone: Promise<unknown> | null = null;
  #whenIdle: (() => void)[] = [];

  async beside<T>(work: () => Promise<T>): Promise<T> {
    while (this.#alone) await this.#alone;
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      if (this.#running === 0) for (const go of this.#whenIdle.splice(0)) go();
    }
  }

  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#alone;
    const turn = (async () => {
      await before;
      if (this.#running > 0) await new Promise<void>((go) => this.#whenIdle.push(go));
      return work();
    })();
    // Those that wait for the turn to end do not care how it ended.
    const ended = turn.then(
      () => {},
      () => {},
    );
    this.#alone = ended;
    try {
      return await turn;
    } finally {
      if (this.#alone === ended) this.#alone = null;
    }
  }
}
