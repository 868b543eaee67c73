// Environment variables, readable in Node and absent in a browser. The ladder DEBUG=1…3 prints ever more of a plan:
// 1 summary, 2 each dispatch, 3 the WGSL.

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
