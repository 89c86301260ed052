import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { containerdHosts } from "../../src/names/containerd-hosts.ts";

const root = join(import.meta.dirname, "../..");
const commands = readdirSync(join(root, "src/commands"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, "").replaceAll(/[\\/]/g, " "));

it("docs/json.md tells what every command gives", () => {
  const page = readFileSync(join(root, "docs/json.md"), "utf8");
  expect(commands).toContain("packages resolve");
  expect(commands.filter((command) => !page.includes(`| \`${command}\` |`))).toEqual([]);
});

it("docs/serve.md shows the hosts.toml that install and --runtime-config write", () => {
  const target = { host: "register.site", prefix: "", layout: "host", byNamespace: true } as const;
  const access = { scheme: "https", ca: "/etc/containerd/certs.d/register.site/ca.crt" } as const;
  const [file] = containerdHosts(["registry.k8s.io"], target, access);
  const page = readFileSync(join(root, "docs/serve.md"), "utf8");
  expect(page).toContain(`\`\`\`toml\n${file?.content}\`\`\``);
});
