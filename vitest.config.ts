// Three projects: cpu (no device), dawn (a WebGPU device in Node, one forked process per file), browser (headless
// Chromium driven by playwright-core; reports "not run" where there is none).
import { defineConfig } from "vitest/config";

const reporters = ["default", "./test/reporter.ts"];

// What was measured on this machine is no matter of the tests, but of those that ask for it.
const env = { THAW_TUNE: "off" };

export default defineConfig({
  test: {
    reporters,
    projects: [
      { test: { name: "cpu", include: ["test/cpu/**/*.test.ts"], testTimeout: 120_000, env } },
      {
        test: {
          name: "dawn",
          env,
          include: ["test/dawn/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "browser",
          env,
          include: ["test/browser/**/*.test.ts"],
          pool: "forks",
          maxWorkers: 1,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
