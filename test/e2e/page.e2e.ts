import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";
import { writeBundleFile } from "../support/install/bundle-file.ts";
import { siteOf } from "../support/install/site.ts";
import { Scratch } from "../support/scratch.ts";

/** Pictures for people, where they are asked for: PAGE_PICTURES=DIR */
const PICTURES = process.env["PAGE_PICTURES"];

let scratch: Scratch;
let server: RunningCli;
let browser: Browser;
let url = "";

beforeAll(async () => {
  scratch = new Scratch();
  const site = siteOf({
    on: { node1: "debian-12" },
    bundle: { files: ["cri-dockerd.tgz", "a<b>&'.txt"], manifests: ["flannel", "dashboard"] },
  });
  await writeBundleFile(scratch.path("site.tar"), site.bundle);
  server = startCli(
    [
      "serve",
      scratch.path("site.tar"),
      "--listen",
      "127.0.0.1:0",
      "--self-signed",
      "--access-log",
      scratch.path("log"),
    ],
    { XDG_STATE_HOME: scratch.path("state") },
  );
  url = await new Promise<string>((resolve, reject) => {
    let text = "";
    server.child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const found = /^https:\/\/\S+/.exec(text)?.[0];
      if (found) resolve(found);
    });
    server.ended.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
}, 60_000);

afterAll(async () => {
  await browser?.close();
  server?.child.kill("SIGTERM");
  await server?.ended;
  scratch?.[Symbol.dispose]();
});

/** A page with everything that went wrong in it: errors, refused loads, breaches of the policy. */
async function open(
  path: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; wrong: string[] }> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    locale: "en-US",
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  // Browsers ask for an icon by themselves.
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.goto(`${url}${path}`);
  return { page, wrong };
}

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

/** What sticks out to the right of the window. */
const overflow = (page: Page): Promise<number> =>
  page.evaluate<number>("document.documentElement.scrollWidth - document.documentElement.clientWidth");

describe("the page of serve, in Chromium", () => {
  it("names the bundle, its lock, sizes and the authority, and breaks no rule of its own policy", async () => {
    const { page, wrong } = await open("/");
    const text =
      (await page.locator("main").textContent()) + String(await page.locator("header").textContent());
    expect(text).toMatch(/sha256:[0-9a-f]{64}/);
    expect(text).toContain("Kubernetes v1.28.2");
    expect(text).toMatch(/([0-9A-F]{2}:){31}[0-9A-F]{2}/);
    expect(text).toContain("a<b>&'.txt");
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    await page.locator("#images details summary").first().click();
    await page.locator("#packages details summary").first().click();
    await picture(page, "wide");
    expect(wrong).toEqual([]);
    const answer = await page.request.get(`${url}/`);
    expect(answer.headers()["content-security-policy"]).not.toContain("unsafe");
  });

  it("searches while typing, over images, packages and files", async () => {
    const { page, wrong } = await open("/");
    const shown = (): Promise<string[]> => page.locator("main [data-name]:visible").allInnerTexts();
    const before = (await shown()).length;
    await page.locator("input[type=search]").fill("pause");
    expect((await shown()).join()).toContain("registry.k8s.io/pause:3.9");
    expect((await shown()).length).toBeLessThan(before);
    await page.locator("input[type=search]").fill("kubelet debian12");
    expect((await shown()).map((each) => each.split(" ")[0])).toEqual(["kubelet"]);
    expect(wrong).toEqual([]);
  });

  it("copies a line that works: what it says is pulled from here", async () => {
    const { page } = await open("/?q=pause");
    await page.locator("#images summary").first().click();
    const button = page.locator("#images .line").nth(0).locator("button");
    await button.click();
    await expect.poll(() => button.textContent()).toBe("copied");
    const host = new URL(url).host;
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(
      `docker pull ${host}/registry.k8s.io/pause:3.9`,
    );
    const answer = await page.request.get(`${url}/v2/registry.k8s.io/pause/manifests/3.9`);
    expect(answer.status()).toBe(200);
  });

  it("shows containerd's files for the upstreams that are in the bundle, and gives out the authority", async () => {
    const { page } = await open("/");
    const folders = await page.locator("#use summary").allInnerTexts();
    expect(folders.map((each) => each.split("/")[4])).toEqual([
      "docker.io",
      "register.site.local",
      "registry.k8s.io",
      expect.stringContaining("127.0.0.1"),
    ]);
    const ca = await (await page.request.get(`${url}/ca.crt`)).text();
    const printed = execFileSync("openssl", ["x509", "-noout", "-fingerprint", "-sha256"], {
      input: ca,
    }).toString();
    expect(await page.locator("#use code").first().textContent()).toBe(printed.trim().split("=")[1]);
    expect(readFileSync(scratch.path("state/airgap/tls/ca.crt"), "utf8")).toBe(ca);
  });

  it("speaks Chinese where the browser does, and dark where the system is", async () => {
    const { page, wrong } = await open("/", { locale: "zh-CN", colorScheme: "dark" });
    expect(await page.locator("html").getAttribute("lang")).toBe("zh-CN");
    expect(await page.locator("body").textContent()).toContain("软件包");
    const background = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(background).toBe("rgb(21, 24, 29)");
    await picture(page, "chinese-dark");
    await page.getByText("English", { exact: true }).click();
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    expect(wrong).toEqual([]);
  });

  it("fits on a telephone", async () => {
    const { page } = await open("/", { viewport: { width: 390, height: 844 } });
    for (const summary of await page.locator("summary").all()) await summary.click();
    expect(await overflow(page)).toBe(0);
    await picture(page, "narrow");
    await page.goto(`${url}/packages/debian12/`);
    expect(await overflow(page)).toBe(0);
  });

  it("works without scripts: search by the server, no dead buttons", async () => {
    const { page } = await open("/", { javaScriptEnabled: false });
    expect(await page.locator("button[data-copy]:visible").count()).toBe(0);
    await page.locator("input[type=search]").fill("coredns");
    await page.locator("form button").click();
    expect(page.url()).toContain("q=coredns");
    expect(await page.locator("#images li").count()).toBe(1);
    expect(await page.locator("#packages").count()).toBe(0);
  });
});
