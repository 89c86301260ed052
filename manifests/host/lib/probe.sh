# Tests the pod network from inside a pod of each host, and ports of nodes from outside.

# start_probe: stdin is the manifest of the DaemonSet and its services.
start_probe() {
	cat >/run/airgap-probe.yaml
	apply_manifest /run/airgap-probe.yaml
	rm -f /run/airgap-probe.yaml
	roll_out kube-system daemonset/airgap-probe 180
}

# probe_is_gone
probe_is_gone() {
	airgap_found=$(kubectl -n kube-system get daemonset,service -o name)
	! printf '%s\n' "$airgap_found" | grep -q airgap-probe
}

# remove_probe
remove_probe() {
	kubectl -n kube-system delete --ignore-not-found --wait=false daemonset/airgap-probe service/airgap-probe service/airgap-probe-port
}

# probe_network SERVER DOMAIN [NAME ADDRESS]...: from a pod of this host, the cluster's DNS at SERVER answers for the
# API and for each NAME, and the pods of all hosts are reachable.
probe_network() {
	airgap_pod=$(pod_process)
	airgap_server=$1
	airgap_domain=$2
	shift 2
	wait_for 60 airgap_dns_finds "kubernetes.default.svc.$airgap_domain" || airgap_fail_for_tunnel
	wait_for 60 airgap_pods_are_reached || airgap_fail_for_tunnel
	while [ $# -ge 2 ]; do
		dns "$airgap_pod" "$airgap_server" "$1" | grep -qxF -e "$2" || fail "DNS does not answer $2 for $1"
		shift 2
	done
}
# Where a tunnel to another host lets nothing through, that is why: its end refuses a port that nobody listens at, or is
# silent. Fails also where the tunnels are well.
airgap_fail_for_tunnel() {
	for airgap_tunnel in flannel.1:8472 vxlan.calico:4789; do
		airgap_device=${airgap_tunnel%:*}
		for airgap_end in $(ip -4 route show dev "$airgap_device" 2>/dev/null | sed -n 's/.* via \([0-9.]*\).*/\1/p'); do
			tunnel_answers "$airgap_end" || fail "nothing comes back from $(airgap_host_behind "$airgap_device" "$airgap_end") through the tunnel $airgap_device: is UDP ${airgap_tunnel#*:} blocked between the hosts?"
		done
	done
	return 1
}

# tunnel_answers ADDRESS
tunnel_answers() {
	# shellcheck disable=SC2016
	airgap_answer=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9"' "$1" 2>&1) && return 0
	case $airgap_answer in *efused*) ;; *) return 1 ;; esac
}

# The host at which a tunnel ends, by its own address where the tunnel says so.
airgap_host_behind() {
	airgap_mac=$(ip neigh show "$2" dev "$1" 2>/dev/null | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p')
	airgap_host=$(bridge fdb show dev "$1" 2>/dev/null | sed -n "s/^${airgap_mac:-none} .*dst \([0-9.]*\).*/\1/p" | head -n 1)
	echo "${airgap_host:-$2}"
}
airgap_dns_finds() {
	if ! airgap_addresses=$(dns "$airgap_pod" "$airgap_server" "$1") || [ -z "$airgap_addresses" ]; then
		fail "DNS at $airgap_server does not answer for $1: ${airgap_addresses:-no address}"
	fi
}
airgap_pods_are_reached() {
	airgap_dns_finds "airgap-probe.kube-system.svc.$airgap_domain"
	for airgap_address in $airgap_addresses; do reaches "$airgap_pod" "$airgap_address"; done
}

# probe_node_ports ADDRESS...: the probe's service answers on its port of each node.
probe_node_ports() {
	airgap_port=$(kubectl -n kube-system get service airgap-probe-port -o 'jsonpath={.spec.ports[0].nodePort}')
	for airgap_address in "$@"; do wait_for 60 answers "$airgap_address" "$airgap_port"; done
}

# pod_process: a process of a pod of this host that has its own network.
pod_process() {
	for airgap_process in /proc/[0-9]*; do
		[ "$(cat "$airgap_process/comm" 2>/dev/null)" = pause ] || continue
		[ "$(readlink "$airgap_process/ns/net")" != "$(readlink /proc/1/ns/net)" ] || continue
		echo "${airgap_process#/proc/}" && return 0
	done
	fail "no pod with its own network runs on this host"
}

# airgap_dns_query NAME: a query for an A record (RFC 1035, 4.1) in printf's octal notation. It is 18 bytes
# longer than NAME.
airgap_dns_query() {
	printf '%s' '\101\107\001\000\000\001\000\000\000\000\000\000'
	printf '%s.' "$1" | od -An -v -tu1 | tr -s ' \n' '  ' | awk '{
		for (i = 1; i <= NF; i++) {
			if ($i != 46) { label = label sprintf("\\%03o", $i); size++; continue }
			printf "\\%03o%s", size, label
			label = ""
			size = 0
		}
		printf "\\000\\000\\001\\000\\001"
	}'
}

# dns PROCESS SERVER NAME: its IPv4 addresses, one a line. Images do not need a shell or a DNS client: the host's
# own bash asks from inside the pod's network. dd makes one datagram of the query; bash would split it at each line
# feed byte, which may occur in it.
dns() {
	# shellcheck disable=SC2016
	airgap_answer=$(nsenter -t "$1" -n timeout 5 bash -c 'exec 3<>"/dev/udp/$0/53" && printf "$1" | dd bs=4096 iflag=fullblock 2>/dev/null >&3 && dd bs=4096 count=1 <&3 2>/dev/null' "$2" "$(airgap_dns_query "$3")" | od -An -v -tu1 | tr -s ' \n' '  ')
	# After the query: for each answer a name (2 bytes), type, class, time to live, length, and 4 bytes of address.
	printf '%s\n' "$airgap_answer" | awk -v asked="$((${#3} + 18))" '{
		if (NF < 12) exit 1
		if ($4 % 16 != 0) { print "DNS says error " $4 % 16; exit 1 }
		answers = $7 * 256 + $8
		at = asked + 1
		for (i = 0; i < answers && at + 12 <= NF; i++) {
			if ($at < 192) { while ($at > 0 && at < NF) at += $at + 1; at += 1 } else at += 2
			length_ = $(at + 8) * 256 + $(at + 9)
			if ($(at + 1) == 1 && length_ == 4) print $(at + 10) "." $(at + 11) "." $(at + 12) "." $(at + 13)
			at += 10 + length_
		}
	}'
}

# reaches PROCESS ADDRESS: nothing listens on the port, so a refusal proves that the pod answered.
reaches() {
	# shellcheck disable=SC2016
	airgap_answer=$(nsenter -t "$1" -n timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9"' "$2" 2>&1) && return 0
	case $airgap_answer in
	*efused*) return 0 ;;
	*) fail "the pod at $2 is unreachable through the pod network of this host: ${airgap_answer:-no answer}" ;;
	esac
}

# endpoint_answers ADDRESS PORT: somebody takes a connection to the cluster's API there. Changes nothing.
endpoint_answers() { answers "$@"; }

# answers ADDRESS PORT: something listens there.
answers() {
	# shellcheck disable=SC2016
	timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null || fail "$1 does not answer on port $2"
}
