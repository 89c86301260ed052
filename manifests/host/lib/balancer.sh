# Load balancers: haproxy in front of the control planes, and keepalived, which moves the shared addresses by VRRP.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# take_configuration UNIT STAMP: a service that is enabled and runs with its present configuration. One that runs already
# reads it again, and connections stay.
take_configuration() {
	systemctl daemon-reload
	systemctl unmask "$1" 2>/dev/null || :
	systemctl enable "$1"
	if systemctl is-active --quiet "$1"; then systemctl reload "$1"; else systemctl restart "$1"; fi || airgap_explain "$1"
	sleep 2
	systemctl is-active --quiet "$1" || airgap_explain "$1"
	stamp "$1" "$2"
}

# haproxy_accepts FILE: haproxy can read its configuration. It checks more than a reload does.
haproxy_accepts() { haproxy -c -q -f "$1" || fail "haproxy does not accept $1"; }

# keepalived_accepts FILE: the same for keepalived, where its version can tell.
keepalived_accepts() {
	if keepalived --help 2>&1 | grep -q -e --config-test; then
		keepalived --config-test --use-file "$1" || fail "keepalived does not accept $1"
	fi
}

# SELinux lets haproxy use well-known ports of the web only, until this boolean is on.
# haproxy_may_connect
haproxy_may_connect() { getsebool haproxy_connect_any | grep -q 'on$' || fail "SELinux does not let haproxy use the ports of Kubernetes"; }
# let_haproxy_connect
let_haproxy_connect() {
	note haproxy-boolean off
	setsebool -P haproxy_connect_any 1
}
# limit_haproxy_again: undoes let_haproxy_connect.
limit_haproxy_again() {
	is_noted haproxy-boolean off || return 0
	setsebool -P haproxy_connect_any 0 || :
	drop_note haproxy-boolean
}

# holds_address ADDRESS: this host has it.
holds_address() { ip -o addr show to "$1" 2>/dev/null | grep -q .; }

# show_shared_addresses DEVICE OWN SECONDS ADDRESS...: what a load balancer sees. `mac` is its own on that device, `holds` an
# address that it has, `neighbor` an address and the MAC of who answers there, `vrrp` the address and the id of a router that
# was heard within SECONDS, `deaf` why nobody could listen. It asks the network anew who has an address, and changes nothing.
show_shared_addresses() {
	airgap_device=$1
	airgap_own=$2
	airgap_seconds=$3
	shift 3
	echo "mac $(cat "/sys/class/net/$airgap_device/address")"
	[ "$airgap_seconds" -eq 0 ] || hear_vrrp "$airgap_own" "$airgap_seconds" &
	for airgap_address in "$@"; do
		if holds_address "$airgap_address"; then
			echo "holds $airgap_address"
			continue
		fi
		ip neigh del "$airgap_address" dev "$airgap_device" 2>/dev/null || :
		# shellcheck disable=SC2016
		timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/9"' "$airgap_address" 2>/dev/null || :
		ip neigh show "$airgap_address" dev "$airgap_device" 2>/dev/null | sed -n "s/.*lladdr \([0-9a-f:]*\).*/neighbor $airgap_address \1/p"
	done
	wait
}

# hear_vrrp OWN SECONDS: VRRP routers that speak to their group on the network of the address OWN: RFC 5798, 5.1 and 5.2.
hear_vrrp() {
	airgap_heard=$(airgap_listen "$@" 2>&1) || airgap_heard="deaf $(printf '%s' "$airgap_heard" | tail -n 1)"
	printf '%s\n' "$airgap_heard" | sort -u
}
# Every Debian has perl, and every system with dnf or yum python.
airgap_listen() {
	for airgap_python in python3 /usr/libexec/platform-python python ''; do
		[ -z "$airgap_python" ] || ! have "$airgap_python" || break
	done
	if [ -n "$airgap_python" ]; then
		"$airgap_python" -c '
import select, socket, sys, time
heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.18") + socket.inet_aton(sys.argv[1]))
end = time.time() + float(sys.argv[2])
while select.select([heard], [], [], max(0, end - time.time()))[0]:
    packet = bytearray(heard.recv(1500))
    at = (packet[0] & 15) * 4
    print("vrrp %s %d" % (".".join(str(byte) for byte in packet[12:16]), packet[at + 1]))
' "$1" "$2"
	elif have perl; then
		# shellcheck disable=SC2016
		perl -MSocket -e '
socket(my $heard, PF_INET, SOCK_RAW, 112) or die "$!\n";
setsockopt($heard, 0, 35, inet_aton("224.0.0.18") . inet_aton($ARGV[0])) or die "$!\n";
my ($end, $ready) = (time + $ARGV[1], "");
while ((my $left = $end - time) > 0) {
	vec($ready, fileno($heard), 1) = 1;
	last unless select($ready, undef, undef, $left);
	recv($heard, my $packet, 1500, 0);
	printf "vrrp %s %d\n", inet_ntoa(substr($packet, 12, 4)), ord(substr($packet, (ord($packet) & 15) * 4 + 1, 1));
}' "$1" "$2"
	else
		fail "the host has neither perl nor python"
	fi
}

# leads_to_balancer ADDRESS PORT [MAC]...: somebody takes a connection there, and where the network tells who has the address,
# it is one of these.
leads_to_balancer() {
	answers "$1" "$2"
	airgap_found=$(ip neigh show "$1" 2>/dev/null | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p' | head -n 1)
	airgap_address=$1
	shift 2
	[ $# -gt 0 ] && [ -n "$airgap_found" ] || return 0
	for airgap_mac in "$@"; do [ "$airgap_mac" != "$airgap_found" ] || return 0; done
	fail "$airgap_address is answered by $airgap_found, which is no load balancer of this cluster"
}

# show_balancer PORT ADDRESS...: what a load balancer does now. `runs` a program, `holds` an address, and each line of haproxy's
# status page at PORT behind `csv`.
show_balancer() {
	airgap_port=$1
	shift
	for airgap_unit in haproxy keepalived; do ! systemctl is-active --quiet "$airgap_unit" || echo "runs $airgap_unit"; done
	for airgap_address in "$@"; do ! holds_address "$airgap_address" || echo "holds $airgap_address"; done
	# shellcheck disable=SC2016
	timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET /;csv HTTP/1.0\r\n\r\n" >&3 && cat <&3' "$airgap_port" 2>/dev/null | sed -n 's/^/csv /p'
}
