// Environment variables, readable in Node and absent in a browser. The ladder DEBUG=1…4 prints ever more: 1 what each new
// plan is, 2 also how long each run takes and where all the time went, 3 also each plan's dispatches, 4 also the WGSL.

/** An environment variable, or undefined where there is no process. */
export function env(name: string): string | undefined {
  return typeof process === "object" && process.env ? process.env[name] : undefined;
}

/** The DEBUG level, 0 when unset or not a number. */
export function debugLevel(): number {
  const level = Number(env("DEBUG") ?? 0);
  return Number.isFinite(level) ? level : 0;
}

/** Whether this is Node (or what calls itself that), and not a page. */
export function inNode(): boolean {
  return typeof process === "object" && Boolean(process.versions?.node);
}
