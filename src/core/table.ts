// Tables and bars in plain text.

/** Columns, the first to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const text = rows.map((r) => r.map(String));
  const widths = head.map((h, c) => Math.max(h.length, ...text.map((r) => r[c].length)));
  const right = head.map((_, c) => c > 0 && rows.length > 0 && rows.every((r) => isNumeric(r[c])));
  const line = (r: readonly string[]) =>
    r
      .map((v, c) => (right[c] ? v.padStart(widths[c]) : v.padEnd(widths[c])))
      .join("  ")
      .trimEnd();
  return [line(head), line(widths.map((w) => "─".repeat(w))), ...text.map(line)].join("\n");
}

const isNumeric = (v: string | number) => typeof v === "number" || /^[\d.,%–-]+$/.test(v);

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `share` (0 to 1) of `width` characters, to an eighth of one. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(8 * width * Math.min(1, Math.max(0, share)));
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7];
}
