# The clock: one source of time, and one program that sets it.

# airgap_other_sources PATH: lines of chrony's configuration that name a source of time, outside of our block.
airgap_other_sources() { sed '/^# BEGIN airgap$/,/^# END airgap$/d' "$1" | grep -E '^(pool|server|sourcedir|peer) '; }

# chrony_reads PATH LINE...: chrony's configuration has these lines, and names no other source of time.
chrony_reads() {
	if airgap_other_sources "$1" >/dev/null; then fail "$1 names other sources of time"; fi
	block_has "$@"
}

# configure_chrony PATH: uses only the lines of stdin; other sources become comments.
configure_chrony() {
	keep "$1"
	touch "$1"
	sed -i -E 's/^(pool|server|sourcedir|peer) /# airgap: &/' "$1"
	put_block "$1"
}

# disable_other_clocks: chrony is the only program that sets the clock.
disable_other_clocks() { for airgap_clock in systemd-timesyncd ntpd ntp; do disable_services "$airgap_clock"; done; }
