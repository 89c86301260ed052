import type { Facts } from "../../host/facts.ts";
import { sh } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";

/** Swap off now, in fstab, as a systemd unit, as compressed memory, and as the place that a Debian resumes from. */
export function swapSteps(facts: Facts): Step[] {
  return [
    ...(facts.zram ? [zramStep()] : []),
    ...(facts.active.includes("zramswap") || facts.enabled.includes("zramswap") ? [zramswapStep()] : []),
    swapStep(),
  ];
}

function swapStep(): Step {
  const lines = "^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]";
  return {
    id: "swap",
    title: "Swap is off, now and after a reboot",
    check: sh`
      [ "$(wc -l </proc/swaps)" -le 1 ] || fail "swap is on: $(tail -n +2 /proc/swaps)"
      ! grep -qE ${lines} /etc/fstab 2>/dev/null || fail "/etc/fstab names swap"
      [ "$(systemctl is-enabled swap.target 2>/dev/null)" = masked ] || fail "swap.target is not masked"`,
    apply: sh`
      if grep -qE ${lines} /etc/fstab 2>/dev/null; then
        keep /etc/fstab
        sed -i -E ${`/${lines}/s/^/# airgap: /`} /etc/fstab
      fi
      if [ -e /etc/initramfs-tools/conf.d/resume ] && ! grep -q '^RESUME=none' /etc/initramfs-tools/conf.d/resume; then
        keep /etc/initramfs-tools/conf.d/resume
        echo RESUME=none >/etc/initramfs-tools/conf.d/resume
      fi
      systemctl mask swap.target
      [ "$(wc -l </proc/swaps)" -le 1 ] || swapoff -a`,
    undo: sh`
      systemctl unmask swap.target
      if [ -e "$airgap_home/before/etc/fstab" ]; then
        give_back /etc/fstab
        swapon -a || :
      fi
      [ ! -e "$airgap_home/before/etc/initramfs-tools/conf.d/resume" ] || give_back /etc/initramfs-tools/conf.d/resume`,
  };
}

/** systemd's zram-generator makes swap at boot unless its configuration in /etc is empty. */
function zramStep(): Step {
  const off = "systemctl daemon-reload; swapoff -a";
  return fileStep({
    id: "zram",
    title: "Compressed memory is no swap (zram-generator)",
    path: "/etc/systemd/zram-generator.conf",
    content: "# No swap on this host.\n",
    after: off,
    undone: "systemctl daemon-reload",
  });
}

function zramswapStep(): Step {
  return {
    id: "zramswap",
    title: "Compressed memory is no swap (zramswap)",
    check: sh`! systemctl is-active --quiet zramswap && ! systemctl is-enabled --quiet zramswap`,
    apply: sh`systemctl disable --now zramswap`,
    undo: sh`systemctl enable --now zramswap`,
  };
}
