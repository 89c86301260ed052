# Ports, sources and protocols that firewalld allows. Everything is set both at run time and permanently: a reload
# would remove kube-proxy's rules. Each call of firewall-cmd takes half a second, so all ports
# are checked in one call.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# firewalld_zone DEVICE: the zone of the device, or the default zone.
firewalld_zone() { firewall-cmd --get-zone-of-interface="$1" 2>/dev/null || firewall-cmd --get-default-zone; }

# airgap_firewalld_look: what is open and trusted already, at run time or permanently ($airgap_way).
airgap_firewalld_look() {
	airgap_open=$(firewall-cmd ${airgap_way:+"$airgap_way"} --zone="$airgap_zone" --list-ports | tr ' ' '\n')
	airgap_trusted=$(firewall-cmd ${airgap_way:+"$airgap_way"} --zone=trusted --list-sources | tr ' ' '\n')
}
# Only a range can include a port that is not listed itself.
airgap_port_is_open() {
	if printf '%s\n' "$airgap_open" | grep -qxF -e "$1"; then return 0; fi
	case $airgap_open in
	*-*) firewall-cmd -q ${airgap_way:+"$airgap_way"} --zone="$airgap_zone" --query-port="$1" ;;
	*) return 1 ;;
	esac
}
airgap_source_is_trusted() { printf '%s\n' "$airgap_trusted" | grep -qxF -e "$1"; }

airgap_protocol_is_open() { firewall-cmd -q ${airgap_way:+"$airgap_way"} --zone="$airgap_zone" --query-protocol="$1"; }

# firewalld_lets_through DEVICE PORTS SOURCES [PROTOCOLS]: PORTS as firewalld writes them (6443/tcp), SOURCES are ranges,
# PROTOCOLS are numbers of protocols beside TCP and UDP.
firewalld_lets_through() {
	airgap_zone=$(firewalld_zone "$1")
	for airgap_way in '' --permanent; do
		airgap_firewalld_look
		for airgap_port in $2; do airgap_port_is_open "$airgap_port" || fail "port $airgap_port is not open $airgap_way"; done
		for airgap_source in $3; do airgap_source_is_trusted "$airgap_source" || fail "$airgap_source is not trusted $airgap_way"; done
		for airgap_protocol in ${4-}; do airgap_protocol_is_open "$airgap_protocol" || fail "protocol $airgap_protocol is not open $airgap_way"; done
	done
}

# airgap_opened ZONE OPTION: records what was closed before, for firewalld_close.
airgap_opened() { grep -qxF -e "$*" "$airgap_home/firewall" || echo "$*" >>"$airgap_home/firewall"; }

# firewalld_open DEVICE PORTS SOURCES [PROTOCOLS]
firewalld_open() {
	airgap_zone=$(firewalld_zone "$1")
	airgap_ports=$2
	airgap_sources=$3
	airgap_protocols=${4-}
	touch "$airgap_home/firewall"
	for airgap_way in '' --permanent; do
		airgap_firewalld_look
		set --
		for airgap_port in $airgap_ports; do
			if ! airgap_port_is_open "$airgap_port"; then
				airgap_opened "$airgap_zone" "--remove-port=$airgap_port"
				set -- "$@" --add-port="$airgap_port"
			fi
		done
		for airgap_protocol in $airgap_protocols; do
			if ! airgap_protocol_is_open "$airgap_protocol"; then
				airgap_opened "$airgap_zone" "--remove-protocol=$airgap_protocol"
				set -- "$@" --add-protocol="$airgap_protocol"
			fi
		done
		[ $# -eq 0 ] || firewall-cmd -q ${airgap_way:+"$airgap_way"} --zone="$airgap_zone" "$@"
		set --
		for airgap_source in $airgap_sources; do
			if ! airgap_source_is_trusted "$airgap_source"; then
				airgap_opened trusted "--remove-source=$airgap_source"
				set -- "$@" --add-source="$airgap_source"
			fi
		done
		[ $# -eq 0 ] || firewall-cmd -q ${airgap_way:+"$airgap_way"} --zone=trusted "$@"
	done
}

# firewalld_close: closes everything that firewalld_open has opened on this host.
firewalld_close() {
	[ -e "$airgap_home/firewall" ] || return 0
	# shellcheck disable=SC2013  # zones have no blanks
	for airgap_zone in $(cut -d ' ' -f 1 "$airgap_home/firewall" | sort -u); do
		# shellcheck disable=SC2046  # nor do options
		set -- $(sed -n "s/^$airgap_zone //p" "$airgap_home/firewall")
		for airgap_way in '' --permanent; do firewall-cmd -q ${airgap_way:+"$airgap_way"} --zone="$airgap_zone" "$@" 2>/dev/null || :; done
	done
	rm -f "$airgap_home/firewall"
}
