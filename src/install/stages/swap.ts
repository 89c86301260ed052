import type { Facts } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";

export function swapSteps(facts: Facts): Step[] {
  return [
    ...(facts.zram ? [zramStep()] : []),
    ...(facts.active.includes("zramswap") || facts.enabled.includes("zramswap") ? [zramswapStep()] : []),
    swapStep(),
  ];
}

function swapStep(): Step {
  return {
    id: "swap",
    title: "Swap is off, now and after a reboot",
    check: call("swap_is_off"),
    apply: call("switch_swap_off"),
    undo: call("restore_swap"),
  };
}

/** systemd's zram-generator makes swap at boot unless its configuration in /etc is empty. */
function zramStep(): Step {
  return fileStep({
    id: "zram",
    title: "zram-generator does not make swap from compressed memory",
    path: "/etc/systemd/zram-generator.conf",
    content: "# No swap on this host.\n",
    after: call("drop_zram"),
    undone: call("systemctl", "daemon-reload"),
  });
}

function zramswapStep(): Step {
  return {
    id: "zramswap",
    title: "zramswap does not make swap from compressed memory",
    check: call("zramswap_is_off"),
    apply: call("systemctl", "disable", "--now", "zramswap"),
    undo: call("systemctl", "enable", "--now", "zramswap"),
  };
}
