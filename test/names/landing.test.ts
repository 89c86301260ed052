import { describe, expect, it } from "vitest";
import {
  checkLandingNames,
  HARBOR_NAMES,
  type LandingRules,
  land,
  landAll,
  limitsOfHost,
  parseTarget,
} from "../../src/names/landing.ts";
import { parseMapRule } from "../../src/names/map-rule.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { formatReference, parseReference } from "../../src/oci/reference.ts";

const rules = (
  layout: LandingRules["layout"],
  target = "harbor.site:8443/mirror",
  more: Partial<LandingRules> & { maps?: string[] } = {},
): LandingRules => ({
  target: parseTarget(target),
  layout,
  map: (more.maps ?? []).map(parseMapRule),
  ...(more.siteName ? { siteName: more.siteName } : {}),
});
const landed = (text: string, by: LandingRules): string => formatReference(land(parseReference(text), by));

describe("land", () => {
  it.each([
    ["registry.k8s.io/pause:3.9", "host", "harbor.site:8443/mirror/registry.k8s.io/pause:3.9"],
    [
      "registry.k8s.io/coredns/coredns:v1.11.1",
      "host",
      "harbor.site:8443/mirror/registry.k8s.io/coredns/coredns:v1.11.1",
    ],
    ["nginx:1.27", "host", "harbor.site:8443/mirror/docker.io/library/nginx:1.27"],
    ["localhost:5000/a/b:v1", "host", "harbor.site:8443/mirror/localhost-5000/a/b:v1"],
    ["[::1]:5000/a/b:v1", "host", "harbor.site:8443/mirror/1-5000/a/b:v1"],
    ["registry.k8s.io/coredns/coredns:v1.11.1", "path", "harbor.site:8443/mirror/coredns/coredns:v1.11.1"],
    ["registry.k8s.io/coredns/coredns:v1.11.1", "flat", "harbor.site:8443/mirror/coredns:v1.11.1"],
  ] as const)("%s in layout %s → %s", (text, layout, expected) => {
    expect(landed(text, rules(layout))).toBe(expected);
  });

  it("keeps a digest, with and without a tag", () => {
    const digest = digestOf("x");
    expect(landed(`quay.io/a/b:v1@${digest}`, rules("path", "h.io"))).toBe(`h.io/a/b:v1@${digest}`);
    expect(landed(`quay.io/a/b@${digest}`, rules("flat", "h.io/p"))).toBe(`h.io/p/b@${digest}`);
  });

  it.each(["host", "path", "flat"] as const)(
    "lands the site's own images under their plain path in layout %s",
    (layout) => {
      const site = { siteName: "kubernetes-register.superopsmsb.com" };
      expect(
        landed(
          "kubernetes-register.superopsmsb.com/superopsmsb/nginx_web:v0.1",
          rules(layout, "10.0.0.20:5000/mirror", site),
        ),
      ).toBe("10.0.0.20:5000/superopsmsb/nginx_web:v0.1");
      expect(landed("harbor.site:8443/a/b/c:1", rules(layout))).toBe("harbor.site:8443/a/b/c:1");
      expect(landed("harbor.site/a/b:1", rules(layout, "harbor.site:443/mirror"))).toBe(
        "harbor.site:443/a/b:1",
      );
    },
  );

  it("applies rules before the layout and before the site's own names", () => {
    const by = rules("host", "h.io/p", {
      maps: ["registry.k8s.io/**=google_containers/*", "h.io/own/*=moved/*"],
    });
    expect(landed("registry.k8s.io/pause:3.9", by)).toBe("h.io/p/google_containers/pause:3.9");
    expect(landed("registry.k8s.io/coredns/coredns:v1.11.1", by)).toBe(
      "h.io/p/google_containers/coredns:v1.11.1",
    );
    expect(landed("h.io/own/app:1", by)).toBe("h.io/p/moved/app:1");
    expect(landed("quay.io/a/b:1", by)).toBe("h.io/p/quay.io/a/b:1");
  });

  it("takes the first rule that fits", () => {
    const by = rules("host", "h.io", { maps: ["quay.io/a/*=first/*", "quay.io/**=second/**"] });
    expect(landed("quay.io/a/x:1", by)).toBe("h.io/first/x:1");
    expect(landed("quay.io/a/x/y:1", by)).toBe("h.io/second/a/x/y:1");
  });
});

describe("parseMapRule", () => {
  const by = (rule: string) => rules("path", "h.io", { maps: [rule] });

  it.each([
    ["quay.io/*/*=m/*/*", "quay.io/a/b:1", "h.io/m/a/b:1"],
    ["*/**=all/**", "gcr.io/a/b/c:1", "h.io/all/a/b/c:1"],
    ["**/nginx=web/nginx", "docker.io/library/nginx:1", "h.io/web/nginx:1"],
    ["quay.io/calico/node-*=net/n-*", "quay.io/calico/node-driver:v3", "h.io/net/n-driver:v3"],
    ["nginx=web/nginx", "nginx:1", "h.io/web/nginx:1"],
    ["flannel/**=f/**", "docker.io/flannel/flannel:v1", "h.io/f/flannel:v1"],
    ["localhost:5000/**=l/**", "localhost:5000/x/y:1", "h.io/l/x/y:1"],
    ["quay.io/**=m/**", "quay.io/a:1", "h.io/m/a:1"],
    ["quay.io/a/**/z=m/**/z", "quay.io/a/z:1", "h.io/m/z:1"],
    ["quay.io/a/**/z=m/**/z", "quay.io/a/b/c/z:1", "h.io/m/b/c/z:1"],
  ])("%s: %s → %s", (rule, text, expected) => {
    expect(landed(text, by(rule))).toBe(expected);
  });

  it.each([
    ["quay.io/a.c=x/y", "quay.io/abc:1"],
    ["quay.io/*=x/*", "quay.io/a/b:1"],
    ["quay.io/a=x/y", "quay.io/a/b:1"],
  ])("%s does not fit %s", (rule, text) => {
    expect(landed(text, by(rule))).toBe(`h.io/${parseReference(text).repository}:1`);
  });

  it.each([
    "",
    "a",
    "a=",
    "=b",
    "quay.io/a:1=b",
    "quay.io/a=B",
    "quay.io/a=b:1",
    "quay.io/*=x/*/*",
    `quay.io/a@${digestOf("x")}=b`,
  ])("refuses '%s'", (rule) => {
    expect(() => parseMapRule(rule)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("parseTarget", () => {
  it("takes the first component as the host, dot or not", () => {
    expect(parseTarget("harbor")).toEqual({ host: "harbor", prefix: "" });
    expect(parseTarget("Harbor:8443/a/b/")).toEqual({ host: "harbor:8443", prefix: "a/b" });
  });

  it("says how a URL is to be written", () => {
    expect(() => parseTarget("https://harbor.site/a/")).toThrow(
      expect.objectContaining({ suggestions: ["write it as harbor.site/a"] }),
    );
    expect(() => parseTarget("harbor.site/A b")).toThrow(expect.objectContaining({ code: "usage" }));
  });

  it("says that a prefix has no capital letters", () => {
    expect(() => parseTarget("HARBOR.Local:5702/Proj/a")).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringMatching(/'Proj\/a' has capital letters/),
        suggestions: ["write it as harbor.local:5702/proj/a"],
      }),
    );
  });
});

describe("landAll", () => {
  const image = (text: string, content: string) => ({
    reference: parseReference(text),
    digest: digestOf(content),
  });

  it("keeps images of one base name apart that come from different repositories", () => {
    const both = [image("quay.io/a/app:v1", "a"), image("quay.io/b/app:v1", "b")];
    expect(landAll(both, rules("path")).map(({ to }) => to.repository)).toEqual([
      "mirror/a/app",
      "mirror/b/app",
    ]);
  });

  it("refuses different content on one name and names both", () => {
    const both = [image("quay.io/a/app:v1", "a"), image("quay.io/b/app:v1", "b")];
    expect(() => landAll(both, rules("flat"))).toThrow(
      expect.objectContaining({
        code: "conflict",
        message: expect.stringMatching(/a\/app:v1 \(sha256:.*b\/app:v1 \(sha256:.*mirror\/app:v1/),
      }),
    );
  });

  it("lets the same content land twice on one name, and other tags beside", () => {
    expect(
      landAll(
        [image("quay.io/a/app:v1", "a"), image("gcr.io/a/app:v1", "a"), image("gcr.io/a/app:v2", "b")],
        rules("path"),
      ),
    ).toHaveLength(3);
  });

  it("lets digests of one repository stand beside each other", () => {
    const pinned = ["a", "b"].map((content) => image(`quay.io/a/app@${digestOf(content)}`, content));
    expect(landAll(pinned, rules("flat"))).toHaveLength(2);
  });

  it("refuses a name that grows too long", () => {
    const long = `quay.io/${"a".repeat(200)}`;
    expect(() => land(parseReference(long), rules("path", `h.io/${"b".repeat(60)}`))).toThrow(
      expect.objectContaining({ code: "conflict" }),
    );
  });
});

describe("checkNames", () => {
  const landings = (target: string, text = "registry.k8s.io/pause:3.9") =>
    landAll([{ reference: parseReference(text), digest: digestOf("x") }], rules("path", target));

  it("wants a project of Harbor", () => {
    expect(() => checkLandingNames(landings("h.io"), HARBOR_NAMES)).toThrow(/at least 2 components/);
    expect(() => checkLandingNames(landings("h.io/p"), HARBOR_NAMES)).not.toThrow();
    expect(() => checkLandingNames(landings("h.io/a__b"), HARBOR_NAMES)).toThrow(
      /'a__b' is not a valid project/,
    );
  });

  it("knows Docker Hub's depth", () => {
    const limits = limitsOfHost("docker.io");
    expect(() => checkLandingNames(landings("docker.io/me/deep"), limits ?? HARBOR_NAMES)).toThrow(
      /at most 2 components/,
    );
  });
});

describe("a target with capital letters", () => {
  it.each([
    ["harbor.site/K8s", "harbor.site/k8s"],
    ["HARBOR.site:8443/Team/App", "harbor.site:8443/team/app"],
  ])("%s: the error says that they are the reason", (text, right) => {
    expect(() => parseTarget(text)).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringContaining("capital letters"),
        suggestions: [`write it as ${right}`],
      }),
    );
  });

  it("takes a host in capitals, whose case means nothing", () => {
    expect(parseTarget("HARBOR.site/k8s")).toEqual({ host: "harbor.site", prefix: "k8s" });
  });
});
