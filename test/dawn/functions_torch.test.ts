// Tensor functions and losses against PyTorch (test/fixtures/nn/functions.py) on the device.
import { afterAll, beforeAll, it } from "vitest";
import { close, init } from "../../src/index.ts";
import { checkFunction, FUNCTION_CASES } from "../lib/function_cases.ts";
import { testOptions } from "../lib/test_options.ts";

/** A few rounded products, or one of WGSL's functions (pow: 2⁻²¹ in its logarithm). */
const LIMIT = 5e-6;

beforeAll(() => init(testOptions()));
afterAll(close);

it.each(FUNCTION_CASES)("%s", (name) => checkFunction(name, LIMIT));
