import { defineConfig } from "vitest/config";

// Real programs, daemons and hosts, one file after the other: two cores are little for several clusters at once.
export default defineConfig({
  test: {
    include: ["test/e2e/**/*.e2e.ts"],
    pool: "forks",
    fileParallelism: false,
    bail: 0,
    testTimeout: 300_000,
    hookTimeout: 1_800_000,
  },
});
