// How numbers are written in the tables for people.

export const percent = (x: number): string => `${(100 * x).toFixed(0)}%`;
export const digits = (x: number): string =>
  x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
