# Rules of ufw, each as the arguments of `ufw`: allow 6443/tcp, route allow from 10.244.0.0/16.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# ufw_has RULE...
ufw_has() {
	airgap_added=$(ufw show added)
	for airgap_rule in "$@"; do
		printf '%s\n' "$airgap_added" | grep -qxF "ufw $airgap_rule" || fail "ufw has no rule: $airgap_rule"
	done
}

# ufw_add RULE...: adds the missing ones, and records them for ufw_remove.
ufw_add() {
	touch "$airgap_home/firewall"
	airgap_added=$(ufw show added)
	for airgap_rule in "$@"; do
		if printf '%s\n' "$airgap_added" | grep -qxF "ufw $airgap_rule"; then continue; fi
		grep -qxF "$airgap_rule" "$airgap_home/firewall" || echo "$airgap_rule" >>"$airgap_home/firewall"
		# shellcheck disable=SC2086  # a rule is several words
		ufw $airgap_rule
	done
}

# ufw_remove: removes the rules that ufw_add has added on this host.
ufw_remove() {
	[ -e "$airgap_home/firewall" ] || return 0
	while read -r airgap_rule; do
		case $airgap_rule in
		route\ *) airgap_rule="route delete ${airgap_rule#route }" ;;
		*) airgap_rule="delete $airgap_rule" ;;
		esac
		# shellcheck disable=SC2086  # a rule is several words
		ufw $airgap_rule </dev/null || :
	done <"$airgap_home/firewall"
	rm -f "$airgap_home/firewall"
}

# Protocols beside TCP and UDP are rules of a file that ufw reads when it starts: its own commands know them by name only, and
# not in every version. They are a section of their own at its end, where its chains are there already.
airgap_ufw_before=/etc/ufw/before.rules

# ufw_has_protocols NUMBER...
ufw_has_protocols() {
	for airgap_protocol in "$@"; do
		block_has "$airgap_ufw_before" "-A ufw-before-input -p $airgap_protocol -j ACCEPT"
		iptables -C ufw-before-input -p "$airgap_protocol" -j ACCEPT 2>/dev/null || fail "ufw does not let protocol $airgap_protocol through"
	done
}

# ufw_add_protocols NUMBER...
ufw_add_protocols() {
	{
		echo '*filter'
		for airgap_protocol in "$@"; do echo "-A ufw-before-input -p $airgap_protocol -j ACCEPT"; done
		echo COMMIT
	} | put_block "$airgap_ufw_before"
	ufw reload
}

# ufw_remove_protocols
ufw_remove_protocols() {
	[ -n "$(block "$airgap_ufw_before")" ] || return 0
	drop_block "$airgap_ufw_before"
	ufw reload || :
}
