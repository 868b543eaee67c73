// Tensor functions and losses against PyTorch (test/fixtures/nn/functions.py), in float64 on the interpreter.
import { afterAll, beforeAll, it } from "vitest";
import { close, init } from "../../src/index.ts";
import { checkFunction, FUNCTION_CASES } from "../lib/function_cases.ts";

/** Results are read as f32. */
const LIMIT = 3e-7;

beforeAll(() => init({ device: "cpu" }));
afterAll(close);

it.each(FUNCTION_CASES)("%s", (name) => checkFunction(name, LIMIT));
