import { describe, expect, it } from "vitest";
import {
  compareVersions,
  droppedArguments,
  droppedKubeletFlags,
  isAtLeast,
  kubeletLag,
  oldestOf,
  removalOf,
  removalsBetween,
  upgradePath,
} from "../../src/kubernetes/upgrade.ts";

describe("the way of an upgrade", () => {
  const carried = ["v1.24.17", "v1.25.16", "v1.25.3", "v1.26.15", "v1.27.16", "v1.28.15"];

  it("stops at every minor, at the newest patch that is carried", () => {
    expect(upgradePath("v1.23.9", "v1.28.15", carried)).toEqual({
      stones: ["v1.24.17", "v1.25.16", "v1.26.15", "v1.27.16", "v1.28.15"],
      missing: [],
    });
    expect(upgradePath("v1.28.2", "v1.28.15", carried).stones).toEqual(["v1.28.15"]);
    expect(upgradePath("v1.27.1", "v1.28.15", carried).stones).toEqual(["v1.28.15"]);
  });

  it("has no stop where the target is reached, and never goes back", () => {
    expect(upgradePath("v1.28.15", "v1.28.15", carried)).toEqual({ stones: [], missing: [] });
    expect(upgradePath("v1.29.0", "v1.28.15", carried)).toEqual({ stones: [], missing: [] });
  });

  it("names minors of which nothing is carried, and a target that is not", () => {
    expect(upgradePath("v1.23.9", "v1.28.2", ["v1.25.16", "v1.27.16"]).missing).toEqual([
      "v1.24",
      "v1.26",
      "v1.28.2",
    ]);
  });
});

describe("rules of upgrades", () => {
  it("order versions by number; what is not a version is older than all", () => {
    expect(compareVersions("v1.9.0", "v1.10.0")).toBeLessThan(0);
    expect(isAtLeast("v1.28.10", "v1.28.9")).toBe(true);
    expect(isAtLeast("", "v1.0.0")).toBe(false);
    expect(oldestOf(["v1.28.2", "v1.9.1", "v1.30.0"])).toBe("v1.9.1");
  });

  it("kubelets may lag by one minor, from 1.29 on by three", () => {
    expect([28, 29, 34].map(kubeletLag)).toEqual([1, 3, 3]);
  });

  it("flags that are gone stay gone", () => {
    expect(droppedKubeletFlags(23)).toEqual([]);
    expect(droppedKubeletFlags(24)).toContain("network-plugin");
    expect(droppedKubeletFlags(26)).not.toContain("container-runtime");
    expect(droppedKubeletFlags(27)).toContain("container-runtime");
    expect(droppedKubeletFlags(34)).not.toContain("pod-infra-container-image");
    expect(droppedKubeletFlags(37)).toEqual(
      expect.arrayContaining(["network-plugin", "container-runtime", "pod-infra-container-image"]),
    );
    expect(droppedArguments(24, "apiServer")).toContain("insecure-port");
    expect(droppedArguments(23, "apiServer")).toEqual([]);
  });

  it("API versions go with the minor that stops serving them", () => {
    expect(removalOf(24, "policy/v1beta1", "PodSecurityPolicy")).toBeUndefined();
    expect(removalOf(25, "policy/v1beta1", "PodSecurityPolicy")).toMatchObject({ minor: 25 });
    expect(removalOf(25, "policy/v1beta1", "PodDisruptionBudget")).toMatchObject({ instead: "policy/v1" });
    expect(removalOf(40, "apps/v1", "Deployment")).toBeUndefined();
    expect(removalsBetween(24, 25).map(({ minor }) => minor)).toEqual([25, 25, 25, 25, 25]);
    expect(removalsBetween(28, 28)).toEqual([]);
  });
});
