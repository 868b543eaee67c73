// How many multiprocessors a GPU has. WebGPU does not tell, so it is looked up by the adapter's name, as the makers
// publish it; an unknown GPU counts as a mid-sized one of its vendor. It only decides how work is cut, never a result's
// meaning: too small a number leaves a large GPU idle at times, too large a one costs a second pass.

/** First match wins. A Ti or a laptop's counts as what it is named after. */
const KNOWN: readonly (readonly [RegExp, number])[] = [
  [/\bH100 PCIe\b/i, 114],
  [/\b(H100|H200|GH200)\b/i, 132],
  [/\bA100\b/i, 108],
  [/\b(L40S|L40|RTX 6000 Ada)\b/i, 142],
  [/\bL4\b/i, 58],
  [/\bA10G\b/i, 80],
  [/\bA10\b/i, 72],
  [/\bV100\b/i, 80],
  [/\bT4\b/i, 40],
  [/\b5090\b/, 170],
  [/\b5080\b/, 84],
  [/\b4090\b/, 128],
  [/\b4080\b/, 76],
  [/\b4070\b/, 46],
  [/\b4060\b/, 24],
  [/\b3090\b/, 82],
  [/\b3080\b/, 68],
  [/\b3070\b/, 46],
  [/\b3060\b/, 28],
];

const BY_VENDOR: Readonly<Record<string, number>> = {
  nvidia: 46,
  amd: 40,
  intel: 16,
  apple: 10,
  arm: 8,
  qualcomm: 8,
};

/** Those of the GPU with this vendor and name; 40 where neither is known. */
export function multiprocessors(vendor: string, name: string): number {
  const known = KNOWN.find(([pattern]) => pattern.test(name));
  return known?.[1] ?? BY_VENDOR[vendor.toLowerCase()] ?? 40;
}
