// Layers, losses and optimizers against PyTorch (test/fixtures/nn) on the device.
import { afterAll, beforeAll, describe, it } from "vitest";
import { close, init } from "../../src/index.ts";
import {
  CLIPS,
  CUMULATIVE,
  checkClip,
  checkCumulative,
  checkLayer,
  checkLoss,
  checkOptimizer,
  checkSteep,
  LAYERS,
  LOSSES,
  OPTIMIZERS,
} from "../lib/nn_cases.ts";
import { testOptions } from "../lib/test_options.ts";

/** Sums of a few dozen f32 products. */
const LIMIT = 5e-6;

beforeAll(() => init(testOptions()));
afterAll(close);

describe("layers", () => {
  it.each(Object.keys(LAYERS))("%s", (name) => checkLayer(name, LIMIT));
});

describe("batch norm with momentum null", () => {
  it.each(CUMULATIVE)("%s", (way) => checkCumulative(way, LIMIT));
});

describe("clipGradNorm of plain tensors", () => {
  it.each(Object.keys(CLIPS))("%s", (name) => checkClip(name, LIMIT));
});

describe("losses", () => {
  it.each(Object.keys(LOSSES))("%s", (name) => checkLoss(name, LIMIT));
});

describe("optimizers", () => {
  // Adam divides by √v, which amplifies the rounding of small gradients from step to step.
  it.each(Object.keys(OPTIMIZERS))("%s", (name) => checkOptimizer(name, 4 * LIMIT));
  it.each(["adam", "adamw"] as const)("%s at a learning rate of 0.3", (name) => checkSteep(name));
});
