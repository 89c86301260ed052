import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import { FunctionHost } from "../support/install/function-host.ts";
import { libraryIn, type Ran, runShell, SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

describe.each(SHELLS)("functions that serve the bundle, by %s", (...shell) => {
  let scratch: FunctionHost;
  beforeEach(() => {
    scratch = new FunctionHost(shell);
    return () => scratch[Symbol.dispose]();
  });
  const sh = (script: string, bodies?: Record<string, string>): Ran => scratch.run(script, bodies);
  const place = (path: string, text?: string): string => scratch.place(path, text);

  describe("registry_has_bundle", () => {
    const push = (body: string): Ran => {
      place("tool/bin/airgap", `#!/bin/sh\ncat "$DOCKER_CONFIG/config.json" >&2\n${body}\n`);
      return sh(
        `chmod +x '${scratch.path("tool/bin/airgap")}'\nregistry_has_bundle '${scratch.path("tool")}' /b.tar reg/x --layout=path <<'L'\n{"auths":1}\nL`,
      );
    };
    it("gives the login to push alone, and names what is missing", () => {
      expect(
        push('[ "$*" = "push /b.tar reg/x --dry-run --quiet --layout=path" ] && echo "present a"'),
      ).toMatchObject({ code: 0, stdout: "" });
      const { code, output } = push(
        "printf '%s\\n' 'would-push reg/x/a:1' 'present reg/x/b:1' 'would-push reg/x/c:1'",
      );
      expect(code).toBe(1);
      expect(output).toMatch(/airgap push BUNDLE reg\/x\nreg\/x\/a:1\nreg\/x\/c:1\n$/);
      expect(push("echo 'unauthorized'; exit 1")).toMatchObject({
        code: 1,
        output: expect.stringContaining("unauthorized"),
      });
    });
  });

  describe("serving", () => {
    it("arrived and receive look at every byte's place", () => {
      const path = scratch.path("b.tar");
      expect(sh(`arrived '${path}' 5 '${path}'`).output).toBe("it is not on the host\n");
      scratch.write("b.tar.part", "1234");
      expect(sh(`arrived '${path}' 5 '${path}'`).code).toBe(1);
      expect(sh(`receive b.tar '${path}' 5`).output).toBe("b.tar is not complete: it must have 5 bytes\n");
      place("beside/b.tar", "12345");
      expect(sh(`airgap_beside='${scratch.path("beside")}'\nreceive b.tar '${path}' 5`).code).toBe(0);
      expect(sh(`arrived '${path}' 5 '${path}'`).code).toBe(0);
      expect(sh(`arrived '${path}' 6 '${scratch.path("beside")}'`).code).toBe(0);
    });

    it("install_tool takes a stretch of the bundle, and refuses a damaged one", () => {
      const made = runShell(
        ["sh", "sh"],
        `cd '${scratch.dir}' && mkdir -p src/t/bin && printf '#!/bin/sh\\necho 1.2.3\\n' >src/t/bin/airgap && chmod +x src/t/bin/airgap && tar -C src -czf tool.tgz t && { printf 'before'; cat tool.tgz; printf 'behind'; } >b.tar.part && wc -c <tool.tgz && sha256sum <tool.tgz`,
      );
      const [size, digest] = made.stdout.trim().split(/\s+/);
      const install = (hex = digest): Ran =>
        sh(`install_tool '${scratch.path("opt/1")}' tool sha256:${hex} '${scratch.path("b.tar")}' 6 ${size}`);
      expect(install("0".repeat(64))).toMatchObject({ code: 1, output: "tool is damaged\n" });
      expect(existsSync(scratch.path("opt"))).toBe(false);
      for (const _ of [1, 2]) expect(install()).toMatchObject({ code: 0, stdout: "1.2.3\n" });
      expect(existsSync(scratch.path("opt/1/bin/airgap"))).toBe(true);
      expect(existsSync(scratch.path("opt/1.new"))).toBe(false);
    });

    it("verify_bundle removes a bundle that is damaged", () => {
      place("tool/bin/airgap", '#!/bin/sh\ngrep -q whole "$3"\n');
      const verify = (): Ran =>
        sh(
          `chmod +x '${scratch.path("tool/bin/airgap")}'\nverify_bundle '${scratch.path("tool")}' '${scratch.path("b")}'`,
        );
      scratch.write("b.part", "broken");
      expect(verify().output).toContain("run the same command again to send it again");
      expect(existsSync(scratch.path("b.part"))).toBe(false);
      scratch.write("b.part", "whole");
      expect(verify().code).toBe(0);
      expect(readFileSync(scratch.path("b"), "utf8")).toBe("whole");
    });
  });
});

describe("server_answers", () => {
  it("asks by name over http, and says what is wrong", async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path("tool/node/bin"), { recursive: true });
    symlinkSync(process.execPath, scratch.path("tool/node/bin/node"));
    const asked: string[] = [];
    let status = 200;
    const server = createServer((request, response) => {
      asked.push(`${request.url}`);
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const ask = async (tool: string, at = port): Promise<Ran> => {
      const script = `${libraryIn(scratch.dir)}server_answers '${scratch.path(tool)}' ${at} register.site\n`;
      const child = spawn("sh", ["-s"], { stdio: "pipe" });
      let output = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (chunk: Buffer) => (output += String(chunk)));
      child.stdin.end(script);
      const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
      return { code, stdout: output, output };
    };
    try {
      expect(await ask("tool")).toMatchObject({ code: 0, output: "" });
      status = 503;
      expect(await ask("tool")).toMatchObject({ code: 1, output: "the server answers 503\n" });
      expect(await ask("none")).toMatchObject({ code: 1, output: "the server is not installed\n" });
      expect(asked).toEqual(["/healthz", "/healthz"]);
    } finally {
      server.close();
    }
    expect(await ask("tool")).toMatchObject({ code: 1, output: expect.stringContaining("ECONNREFUSED") });
  });
});
