# Swap off: now, in fstab, as a systemd unit, as compressed memory, and as the device that Debian resumes from.

# Lines of fstab that name swap: an extended expression.
airgap_swap_lines='^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]'
airgap_no_swap_is_used() { [ "$(wc -l </proc/swaps)" -le 1 ]; }

# swap_is_off: checks it for now and after a reboot.
swap_is_off() {
	airgap_no_swap_is_used || fail "swap is on: $(tail -n +2 /proc/swaps)"
	! grep -qE "$airgap_swap_lines" /etc/fstab 2>/dev/null || fail "/etc/fstab names swap"
	[ "$(systemctl is-enabled swap.target 2>/dev/null)" = masked ] || fail "swap.target is not masked"
}

# switch_swap_off
switch_swap_off() {
	if grep -qE "$airgap_swap_lines" /etc/fstab 2>/dev/null; then
		keep /etc/fstab
		sed -i -E "/$airgap_swap_lines/s/^/# airgap: /" /etc/fstab
	fi
	if [ -e /etc/initramfs-tools/conf.d/resume ] && ! grep -q '^RESUME=none' /etc/initramfs-tools/conf.d/resume; then
		keep /etc/initramfs-tools/conf.d/resume
		echo RESUME=none >/etc/initramfs-tools/conf.d/resume
	fi
	systemctl mask swap.target
	airgap_no_swap_is_used || swapoff -a
}

# restore_swap: restores it to the state before switch_swap_off.
restore_swap() {
	systemctl unmask swap.target
	if was_changed /etc/fstab; then
		give_back /etc/fstab
		swapon -a || :
	fi
	give_back /etc/initramfs-tools/conf.d/resume
}

# drop_zram: after zram-generator's configuration was emptied.
drop_zram() {
	systemctl daemon-reload
	swapoff -a
}

# zramswap_is_off: the service of Debian's zram-tools.
zramswap_is_off() { ! systemctl is-active --quiet zramswap && ! systemctl is-enabled --quiet zramswap; }
