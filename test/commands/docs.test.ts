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

it("docs/environment.md names every variable that a flag has, and no flag has another", async () => {
  const page = readFileSync(join(root, "docs/environment.md"), "utf8");
  const variables = new Set<string>();
  for (const command of commands) {
    const { default: Command } = (await import(
      join(root, `src/commands/${command.replaceAll(" ", "/")}.ts`)
    )) as {
      default: { flags?: Record<string, { env?: string }>; baseFlags?: Record<string, { env?: string }> };
    };
    for (const { env } of Object.values({ ...Command.baseFlags, ...Command.flags }))
      if (env) variables.add(env);
  }
  expect([...variables].toSorted()).toEqual(["AIRGAP_CONCURRENCY", "AIRGAP_QUIET", "AIRGAP_VERBOSE"]);
  expect([...variables].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

/** Keys of an interface of ours, those of what it extends too; undefined where no file has it. */
function keysOf(name: string, first: string[] = []): string[] | undefined {
  for (const file of [...first, ...sources]) {
    const text = readFileSync(file, "utf8");
    const head = new RegExp(`^(?:export )?interface ${name}(?: extends ([\\w, ]+))? \\{\\n`, "m").exec(text);
    if (head === null) continue;
    const body = text.slice(head.index + head[0].length).split("\n}")[0] ?? "";
    const own = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, key = ""]) => key);
    const others = (head[1] ?? "").split(",").flatMap((each) => keysOf(each.trim()) ?? []);
    return [...own, ...others];
  }
  return undefined;
}
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(root, "src", name));

it.each(commands)("docs/json.md has every key that %s gives", (command) => {
  const file = join(root, "src/commands", `${command.replaceAll(" ", "/")}.ts`);
  const [, result = ""] = /extends (?:Base|Cluster)Command<([^>]+)>/.exec(readFileSync(file, "utf8")) ?? [];
  const row = readFileSync(join(root, "docs/json.md"), "utf8")
    .split("\n")
    .find((line) => line.startsWith(`| \`${command}\` |`));
  const inline = [...result.matchAll(/[{;] (\w+)\??:/g)].map(([, key = ""]) => key);
  const named = keysOf(/^\w+/.exec(result)?.[0] ?? "", [file]) ?? [];
  const keys = [...inline, ...named];
  // A schema is what it is.
  if (result !== "JsonSchema") expect(keys, result).not.toEqual([]);
  expect(keys.filter((key) => !new RegExp(`\`${key}\\b`).test(row ?? ""))).toEqual([]);
});
