// Metrics of classifiers over host arrays: what a network said, against what was right. Formulas are scikit-learn's.

import { ShapeError, UsageError } from "../core/error.ts";

type Numbers = ArrayLike<number>;

function rowsOf(scores: Numbers, labels: Numbers, what: string): number {
  const classes = scores.length / labels.length;
  if (labels.length === 0 || !Number.isInteger(classes) || classes < 1)
    throw new ShapeError(`${what}: ${scores.length} scores do not divide among ${labels.length} labels`);
  return classes;
}

/** The best class of each row of scores [n, classes] (row-major), the first one on ties; a NaN counts as best. */
export function predictions(scores: Numbers, classes: number): Int32Array {
  return Int32Array.from({ length: scores.length / classes }, (_, row) => {
    const at = row * classes;
    let best = 0;
    for (let c = 0; c < classes; c++) {
      if (Number.isNaN(scores[at + c])) return c;
      if (scores[at + c] > scores[at + best]) best = c;
    }
    return best;
  });
}

/** Probabilities of each row of logits [n, classes]: softmax in float64. */
export function probabilities(logits: Numbers, classes: number): Float64Array {
  const out = Float64Array.from(logits);
  for (let at = 0; at < out.length; at += classes) {
    const row = out.subarray(at, at + classes);
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const sum = row.reduce((s, v) => s + Math.exp(v - top), 0);
    for (let c = 0; c < classes; c++) row[c] = Math.exp(row[c] - top) / sum;
  }
  return out;
}

/** Share of rows whose best class is the label: scores [n, classes], labels [n]. */
export function accuracy(scores: Numbers, labels: Numbers): number {
  return topK(scores, labels, 1);
}

/** Share of rows whose label is among the k best classes; among equal scores the first classes count as better. */
export function topK(scores: Numbers, labels: Numbers, k: number): number {
  if (!Number.isInteger(k) || k < 1)
    throw new UsageError(`topK: k must be a whole number of at least 1, got ${k}`);
  const classes = rowsOf(scores, labels, "topK");
  let hits = 0;
  for (let row = 0; row < labels.length; row++) {
    const at = row * classes;
    const own = scores[at + labels[row]];
    let better = 0;
    for (let c = 0; c < classes; c++) {
      const v = scores[at + c];
      if (v > own || (v === own && c < labels[row]) || (Number.isNaN(own) && !Number.isNaN(v))) better++;
    }
    if (better < k) hits++;
  }
  return hits / labels.length;
}

/** Counts [true class][predicted class]. */
export function confusionMatrix(predicted: Numbers, labels: Numbers, classes: number): number[][] {
  if (predicted.length !== labels.length)
    throw new ShapeError(`confusionMatrix: ${predicted.length} predictions for ${labels.length} labels`);
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) {
    const row = counts[labels[i]];
    if (row?.[predicted[i]] === undefined)
      throw new UsageError(`confusionMatrix: ${labels[i]}, ${predicted[i]} are not among ${classes} classes`);
    row[predicted[i]]++;
  }
  return counts;
}

/** What is said of one class: null where it is not defined (no picture of it, or never predicted). */
export interface ClassReport {
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  /** Pictures of the class. */
  readonly support: number;
}

/** Precision, recall and F1 of each class from a confusion matrix. */
export function perClass(confusion: readonly (readonly number[])[]): ClassReport[] {
  return confusion.map((row, c) => {
    const right = row[c];
    const support = row.reduce((a, b) => a + b, 0);
    const predicted = confusion.reduce((n, r) => n + r[c], 0);
    const precision = predicted > 0 ? right / predicted : null;
    const recall = support > 0 ? right / support : null;
    const f1 = support + predicted > 0 ? (2 * right) / (support + predicted) : null;
    return { precision, recall, f1, support };
  });
}
