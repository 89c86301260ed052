import type { Facts } from "../../host/facts.ts";
import { deb } from "./deb.ts";
import { rpm } from "./rpm.ts";
import type { System } from "./system.ts";

const SYSTEMS: Record<NonNullable<Facts["packageManager"]>, System> = {
  "apt-get": deb,
  dnf: rpm("dnf", "/etc/dnf/dnf.conf"),
  yum: rpm("yum", "/etc/yum.conf"),
};

/** Preflight refuses a host without a package manager; if the user ignores that, the host is treated as one with dnf. */
export const systemFor = ({ packageManager = "dnf" }: Facts): System => SYSTEMS[packageManager];
