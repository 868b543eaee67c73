// One line of work per runtime: flushes, reads and writes happen in the order in which they were asked for, whoever
// awaits them. A failure of one job does not stop the line, but is handed to the next caller who awaits a step.

export class WorkQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #failure: unknown = null;

  /** Runs `job` after everything asked for before it. */
  add<T>(job: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(job);
    this.#tail = run.catch(() => {});
    return run;
  }

  /** Like `add`, for work that nobody may await: its failure is kept for `check`. */
  post(job: () => Promise<void>): void {
    this.add(job).catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  /** Throws the first failure of posted work, once. */
  check(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure) throw failure;
  }

  /** The failure has been thrown to a reader: `check` need not throw it again. */
  delivered(failure: unknown): void {
    if (this.#failure === failure) this.#failure = null;
  }

  /** Resolves when everything asked for so far is done. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
