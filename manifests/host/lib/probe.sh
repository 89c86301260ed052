# Proves the pod network from within a pod of this host.

# A pod's network on this host: the process that holds it.
pod_process() {
	for airgap_process in /proc/[0-9]*; do
		[ "$(cat "$airgap_process/comm" 2>/dev/null)" = pause ] || continue
		[ "$(readlink "$airgap_process/ns/net")" != "$(readlink /proc/1/ns/net)" ] || continue
		echo "${airgap_process#/proc/}" && return 0
	done
	fail "no pod with a network of its own runs on this host"
}

# dns PROCESS SERVER QUERY: the answer's addresses, one a line. The query is in printf's octal notation.
# Without a shell or a DNS client in any image, the host's own bash asks from within the pod's network.
# dd makes one datagram of the question: bash would end one at each line feed, of which a name may have some.
dns() {
	# shellcheck disable=SC2016
	airgap_answer=$(nsenter -t "$1" -n timeout 5 bash -c 'exec 3<>"/dev/udp/$0/53" && printf "$1" | dd bs=4096 iflag=fullblock 2>/dev/null >&3 && dd bs=4096 count=1 <&3 2>/dev/null' "$2" "$3" | od -An -v -tu1 | tr -s ' \n' '  ')
	# Behind the question: for each answer a name (2 bytes), type, class, time to live, length, and 4 bytes of address.
	printf '%s\n' "$airgap_answer" | awk -v asked="$4" '{
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

# reaches PROCESS ADDRESS: nothing listens there, so being refused is the answer of whom we reach.
reaches() {
	# shellcheck disable=SC2016
	airgap_answer=$(nsenter -t "$1" -n timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9"' "$2" 2>&1) && return 0
	case $airgap_answer in
	*efused*) return 0 ;;
	*) fail "the pod network of this host does not reach the pod at $2: ${airgap_answer:-no answer}" ;;
	esac
}

# answers ADDRESS PORT: something listens there.
answers() {
	# shellcheck disable=SC2016
	timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null || fail "$1 does not answer at port $2"
}
