import { homedir } from "node:os";

// Runs on old Nodes too, so that a user of one learns what is wrong.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `airgap needs Node 22.19 or newer; this is Node ${process.versions.node} (${process.execPath}).\n` +
      "Install a newer one, or use the self-contained archive of airgap, which has its own Node (npm run pack).\n" +
      "In a checkout, 'npm test' or 'npm run quickstart' installs a new Node.\n",
  );
  process.exit(1);
}
// A user may lack an entry in passwd, as in a bare root or a container: set a shell and a home.
if (process.env.SHELL === undefined) process.env.SHELL = "/bin/sh";
try {
  homedir();
} catch {
  process.env.HOME = "/";
}
const { main } = await import("./start.mjs");
await main(new URL("..", import.meta.url));
