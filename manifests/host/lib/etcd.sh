# etcd on hosts of its own: its programs, its members, their health, and what they hold.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# etcd_is_installed DIGEST: its programs came from the archive with this digest.
etcd_is_installed() {
	is_noted stamps/etcd-release "$1" || fail "etcd is not installed, or is another release"
	for airgap_name in etcd etcdctl etcdutl; do [ -x "/usr/local/bin/$airgap_name" ] || fail "$airgap_name is missing"; done
}

# install_etcd NAME PATH DIGEST: from the release archive that was sent to PATH.part, or that is beside a script as NAME.
install_etcd() {
	unpack_carried "$@"
	for airgap_name in etcd etcdctl etcdutl; do
		airgap_program=$(find "$airgap_folder" -type f -name "$airgap_name" | head -n 1)
		[ -n "$airgap_program" ] || fail "$1 does not contain $airgap_name"
		keep "/usr/local/bin/$airgap_name"
		# A program that runs cannot be written to, but another file can take its name.
		install -m 755 "$airgap_program" "/usr/local/bin/$airgap_name.airgap"
		mv -f "/usr/local/bin/$airgap_name.airgap" "/usr/local/bin/$airgap_name"
		relabel "/usr/local/bin/$airgap_name"
	done
	rm -f "$2.part"
	note stamps/etcd-release "$3"
}

# remove_etcd
remove_etcd() {
	for airgap_name in etcd etcdctl etcdutl; do give_back "/usr/local/bin/$airgap_name"; done
	drop_note stamps/etcd-release
}

# user_owns USER FOLDER: nobody else can enter it.
user_owns() { [ "$(stat -c '%a %U' "$2" 2>/dev/null)" = "700 $1" ] || fail "$2 is not a folder that only $1 can enter"; }

# give_folder USER FOLDER
give_folder() {
	mkdir -p "$2"
	chown "$1" "$2"
	chmod 700 "$2"
}

# empty_folder FOLDER: removes what is in it; FOLDER itself may be a disk of its own.
empty_folder() {
	[ -d "$1" ] || return 0
	find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
	rmdir "$1" 2>/dev/null || :
}

# member_ctl ARGUMENT...: etcdctl, asking the member on this host.
member_ctl() {
	etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/airgap/etcd/ca.crt --cert /etc/airgap/etcd/member.crt --key /etc/airgap/etcd/member.key "$@"
}

# etcd_runs STAMP FILE...: the member runs with its current configuration, or waits for the others.
etcd_runs() {
	case $(systemctl show -p ActiveState --value etcd.service) in active | activating) ;; *) fail "etcd does not run" ;; esac
	[ "$(cat "$airgap_home/stamps/etcd.service" 2>/dev/null)" = "$1" ] || fail "etcd runs with an older configuration"
	shift
	[ -z "$(find "$@" -newer "$airgap_home/stamps/etcd.service" 2>/dev/null)" ] || fail "etcd has not read its configuration"
}

# start_etcd STATE MEMBERS TOKEN STAMP: STATE (new or existing), MEMBERS and TOKEN are for a member that has no data yet. It
# is not waited for: the first of several new members is ready only when a second one runs.
start_etcd() {
	if [ ! -d /var/lib/etcd/member ]; then
		printf 'ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_TOKEN=%s\n' "$1" "$2" "$3" >/etc/airgap/etcd/initial.env
		relabel /etc/airgap/etcd/initial.env
	fi
	systemctl daemon-reload
	systemctl unmask etcd.service 2>/dev/null || :
	systemctl enable etcd.service
	stamp etcd.service "$4"
	systemctl restart --no-block etcd.service
}

# etcd_is_healthy: the member of this host commits a proposal, which needs a majority.
etcd_is_healthy() {
	airgap_said_etcd=$(member_ctl endpoint health --command-timeout=4s 2>&1) || fail "the member of etcd on this host is not healthy: $(printf '%s\n' "$airgap_said_etcd" | tail -n 1)"
}

# wait_for_etcd SECONDS
wait_for_etcd() {
	wait_for "$1" etcd_is_healthy || {
		journalctl --no-pager -n 20 -o cat -u etcd.service 2>/dev/null | cut -c1-400 || :
		fail "etcd on this host is not healthy"
	}
}

# etcd_awaits PEER-URL: the member at this address is one that still has to get its data.
etcd_awaits() {
	airgap_found=$(member_ctl member list) || fail "etcd does not answer"
	printf '%s\n' "$airgap_found" | awk -F', *' -v url="$1" '$4 == url && $6 == "true" { found = 1 } END { exit !found }' || fail "etcd does not wait for a member at $1"
}

# admit_etcd_member NAME PEER-URL: etcd forgets the lost member of this name or address, then waits for a new one. Adding
# first would need a majority of one more.
admit_etcd_member() {
	airgap_found=$(member_ctl member list) || fail "etcd does not answer"
	for airgap_id in $(printf '%s\n' "$airgap_found" | awk -F', *' -v name="$1" -v url="$2" '$3 == name || $4 == url { print $1 }'); do
		wait_for 60 member_ctl member remove "$airgap_id"
	done
	# For some seconds after a member left or was started, etcd takes itself for unhealthy.
	wait_for 60 member_ctl member add "$1" --learner "--peer-urls=$2"
}

# etcd_votes PEER-URL: the member at this address has all data and counts.
etcd_votes() {
	airgap_found=$(member_ctl member list) || fail "etcd does not answer"
	printf '%s\n' "$airgap_found" | awk -F', *' -v url="$1" '$4 == url && $2 == "started" && $6 == "false" { found = 1 } END { exit !found }' || fail "the member at $1 does not vote"
}

# promote_etcd_member PEER-URL: as soon as it has all data.
promote_etcd_member() {
	airgap_found=$(member_ctl member list) || fail "etcd does not answer"
	for airgap_id in $(printf '%s\n' "$airgap_found" | awk -F', *' -v url="$1" '$4 == url && $6 == "true" { print $1 }'); do
		wait_for 300 member_ctl member promote "$airgap_id"
	done
}

# remove_etcd_member NAME PEER-URL: etcd goes on without it. Ends with 44 when it does not know it.
remove_etcd_member() {
	airgap_known=44
	airgap_found=$(member_ctl member list) || fail "etcd on this host does not answer"
	for airgap_id in $(printf '%s\n' "$airgap_found" | awk -F', *' -v name="$1" -v url="$2" '$3 == name || $4 == url { print $1 }'); do
		wait_for 60 member_ctl member remove "$airgap_id" || return 1
		airgap_known=0
	done
	return "$airgap_known"
}

# show_etcd PREFIX: what etcd knows, asked at the member of this host: `member ID STATUS NAME PEER-URLS voter|learner`, with
# `-` for a name that is not known, and `keys COUNT` below PREFIX.
show_etcd() {
	airgap_found=$(member_ctl member list) || return 1
	printf '%s\n' "$airgap_found" | awk -F', *' '{ print "member", $1, $2, ($3 == "" ? "-" : $3), $4, ($6 == "true" ? "learner" : "voter") }'
	airgap_found=$(member_ctl get "$1" --prefix --count-only --write-out=fields) || return 1
	printf '%s\n' "$airgap_found" | awk -F' *: *' '$1 == "\"Count\"" { print "keys", $2 }'
}

# clear_etcd PREFIX: deletes what an API server keeps below it, and says how many keys that were.
clear_etcd() { member_ctl del "$1" --prefix; }

# show_etcd_status NODE: what the member of this host says of itself, below lines `=== NAME`: on a host of its own, or in the
# pod of a control plane.
show_etcd_status() {
	if [ -e /etc/airgap/etcd/member.crt ]; then airgap_ask=member_ctl; else airgap_ask="airgap_etcdctl $1"; fi
	echo '=== health'
	$airgap_ask endpoint health 2>&1 || :
	echo '=== status'
	$airgap_ask endpoint status --write-out=json || :
	echo '=== alarms'
	$airgap_ask alarm list || :
}

# measure_sync FOLDER: milliseconds that a synchronised write of 2300 bytes takes there, as etcd makes them: `sync MEAN SLOWEST`,
# the latter of groups of 25. Ends after some ten seconds. https://etcd.io/docs/v3.6/op-guide/hardware/
measure_sync() {
	[ -d "$1" ] || set -- "${1%/*}"
	airgap_file=$(mktemp "$1/.airgap-sync.XXXXXX") || exit 1
	trap 'rm -f "$airgap_file"' EXIT
	airgap_until=$(($(date +%s) + 10))
	airgap_group=0
	while [ "$airgap_group" -lt 20 ] && [ "$(date +%s)" -lt "$airgap_until" ]; do
		airgap_group=$((airgap_group + 1))
		airgap_from=$(date +%s%N)
		dd if=/dev/zero of="$airgap_file" bs=2300 count=25 oflag=dsync conv=notrunc 2>/dev/null
		echo $((($(date +%s%N) - airgap_from) / 25))
	done | sort -n | awk '{ sum += $1; most = $1 } END { if (NR) printf "sync %.2f %.2f\n", sum / NR / 1000000, most / 1000000 }'
	rm -f "$airgap_file"
}
