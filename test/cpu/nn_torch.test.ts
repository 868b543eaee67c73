// Layers, losses and optimizers against PyTorch (test/fixtures/nn), in float64 on the interpreter.
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

/** Results are read as f32, and learning rates travel as f32. */
const LIMIT = 3e-7;

beforeAll(() => init({ device: "cpu" }));
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
  it.each(Object.keys(OPTIMIZERS))("%s", (name) => checkOptimizer(name, LIMIT));
  it.each(["adam", "adamw"] as const)("%s at a learning rate of 0.3", (name) => checkSteep(name));
});
