# Backups of a cluster: etcd's snapshot and the control plane's keys, and putting a snapshot back into every member.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

airgap_stopped=/etc/kubernetes/airgap-stopped

# take_snapshot NODE FILE: of etcd, whole and consistent, by its member on this host. Prints its revision, its version and
# its bytes: `snapshot REVISION VERSION BYTES`.
take_snapshot() {
	close "${2%/*}"
	rm -f "$2"
	if [ -e /etc/airgap/etcd/member.crt ]; then
		airgap_status=$(member_ctl endpoint status --write-out=fields) || fail "etcd on this host does not answer"
		member_ctl --command-timeout=10m snapshot save "$2" >&2 || return 1
	else
		airgap_status=$(airgap_etcdctl "$1" endpoint status --write-out=fields) || fail "etcd on this host does not answer"
		# The image has no shell: what it writes has to land in its one folder that is the host's.
		rm -f /var/lib/etcd/airgap-snapshot.db /var/lib/etcd/airgap-snapshot.db.part
		airgap_etcdctl "$1" --command-timeout=10m snapshot save /var/lib/etcd/airgap-snapshot.db >&2 || return 1
		mv -f /var/lib/etcd/airgap-snapshot.db "$2" || return 1
	fi
	chmod 600 "$2"
	printf 'snapshot %s %s %s\n' "$(airgap_status_field Revision)" "$(airgap_status_field Version | tr -d '"')" "$(stat -c %s "$2")"
}
airgap_status_field() { printf '%s\n' "$airgap_status" | sed -n "s/^\"$1\" : //p" | head -n 1; }

# print_stretch FILE OFFSET BYTES: in base64.
print_stretch() { tail -c "+$(($2 + 1))" "$1" | head -c "$3" | base64 -w 0; }

# remove_file FILE
remove_file() { rm -f "$1"; }

# collect_control_plane FOLDER: what makes this host a control plane of this cluster and of no other, in FOLDER: its keys,
# kubeadm's settings, and how objects are encrypted where they are.
collect_control_plane() {
	rm -rf "$1"
	close "$1"
	mkdir "$1/pki" "$1/kubeadm"
	(cd /etc/kubernetes/pki && find . -type f) | while read -r airgap_file; do
		mkdir -p "$1/pki/$(dirname "$airgap_file")"
		cp "/etc/kubernetes/pki/$airgap_file" "$1/pki/$airgap_file"
	done
	airgap_names=$(kubectl -n kube-system get configmaps -o name | sed -n 's#^configmap/\(kubeadm-config\|kubelet-config[-.0-9]*\|kube-proxy\)$#\1#p')
	for airgap_name in $airgap_names; do kubectl -n kube-system get configmap "$airgap_name" -o yaml >"$1/kubeadm/$airgap_name.yaml"; done
	airgap_encryption=$(sed -n 's/^ *- --encryption-provider-config=//p' /etc/kubernetes/manifests/kube-apiserver.yaml 2>/dev/null || :)
	[ -z "$airgap_encryption" ] || cp "$airgap_encryption" "$1/encryption.yaml"
}

# print_control_plane FOLDER: as a tar in base64, then removes it. The tar depends on its files alone.
print_control_plane() {
	collect_control_plane "$1"
	airgap_tar "$1" | base64 -w 0
	rm -rf "$1"
}
airgap_tar() { (cd "$1" && find . -type f | sed 's#^\./##' | LC_ALL=C sort | tar --format=ustar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0600 -cf - -T -); }

# keep_backup FOLDER KEEP NODE MEMBERS CLUSTER VERSION: makes a backup in FOLDER, as `airgap backup` writes it, and removes all
# but the newest KEEP. MEMBERS says where etcd is: stacked or external.
keep_backup() {
	umask 077
	close "$1"
	airgap_work=$1/.making
	rm -rf "$airgap_work"
	collect_control_plane "$airgap_work"
	airgap_line=$(take_snapshot "$3" "$airgap_work/snapshot.db")
	# shellcheck disable=SC2086
	set -- "$1" "$2" "$3" "$4" "$5" "$6" $airgap_line
	[ ! -f /etc/airgap/backup/cluster.yaml ] || cp /etc/airgap/backup/cluster.yaml "$airgap_work/cluster.yaml"
	printf '{"apiVersion":"airgap/v1","kind":"Backup","cluster":"%s","taken":"%s","kubernetes":"%s","etcd":{"mode":"%s","version":"%s","revision":%s}}\n' \
		"$5" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$6" "$4" "$9" "$8" >"$airgap_work/about.json"
	(cd "$airgap_work" && find . -type f | sed 's#^\./##' | LC_ALL=C sort | xargs sha256sum) >"$1/.sums"
	mv "$1/.sums" "$airgap_work/sha256sums"
	airgap_name=$5-$(date -u +%Y%m%dT%H%M%SZ).tar
	airgap_tar "$airgap_work" >"$1/.$airgap_name"
	rm -rf "$airgap_work"
	mv -f "$1/.$airgap_name" "$1/$airgap_name"
	echo "$1/$airgap_name"
	find "$1" -maxdepth 1 -name "$5-*.tar" | LC_ALL=C sort -r | tail -n "+$(($2 + 1))" | while read -r airgap_file; do rm -f "$airgap_file"; done
}

# --- putting it back ---

# airgap_can_restore PROGRAM: from etcd 3.6 on, etcdctl no longer can.
airgap_can_restore() { [ -x "$1" ] && "$1" snapshot restore --help 2>&1 | grep -q -e --initial-cluster; }

# find_restorer: prints the program that restores a snapshot: of this host, or taken out of etcd's image. Changes nothing but
# a copy of it below airgap's own folder.
find_restorer() {
	for airgap_program in /usr/local/bin/etcdutl /usr/bin/etcdutl "$airgap_home/restorer/etcdutl" /usr/local/bin/etcdctl "$airgap_home/restorer/etcdctl"; do
		if airgap_can_restore "$airgap_program"; then
			echo "$airgap_program"
			return 0
		fi
	done
	[ ! -e "$airgap_home/restorer/tried" ] || fail "neither this host nor etcd's image has a program that restores a snapshot: etcdutl"
	for airgap_file in /etc/kubernetes/manifests/etcd.yaml "$airgap_stopped/etcd.yaml"; do
		[ ! -f "$airgap_file" ] || airgap_image=$(sed -n 's/^ *image: *//p' "$airgap_file" | head -n 1)
	done
	[ -n "${airgap_image-}" ] || fail "etcd is not installed on this host"
	airgap_take_restorer "$airgap_image" "$airgap_home/restorer" >&2
	: >"$airgap_home/restorer/tried"
	find_restorer
}
airgap_take_restorer() {
	rm -rf "$2"
	mkdir -p "$2"
	if have docker && docker image inspect "$1" >/dev/null 2>&1; then
		airgap_container=$(docker create "$1" etcd)
		for airgap_name in etcdutl etcdctl; do docker cp "$airgap_container:/usr/local/bin/$airgap_name" "$2/" 2>/dev/null || :; done
		docker rm "$airgap_container" >/dev/null
	else
		mkdir "$2/image"
		ctr --namespace k8s.io images mount "$1" "$2/image"
		for airgap_name in etcdutl etcdctl; do cp "$2/image/usr/local/bin/$airgap_name" "$2/" 2>/dev/null || :; done
		ctr --namespace k8s.io images unmount --rm "$2/image"
	fi
}

# forget_restorer
forget_restorer() { rm -rf "$airgap_home/restorer"; }

# show_revision NODE: of etcd as it is now, when it answers: `revision NUMBER`.
show_revision() {
	if [ -e /etc/airgap/etcd/member.crt ]; then
		airgap_status=$(member_ctl --command-timeout=5s endpoint status --write-out=fields 2>/dev/null) || return 0
	else
		airgap_status=$(airgap_etcdctl "$1" --command-timeout=5s endpoint status --write-out=fields 2>/dev/null) || return 0
	fi
	echo "revision $(airgap_status_field Revision)"
}

# runs COMMAND: a process of this name, which /proc cuts after 15 letters.
runs() {
	for airgap_process in /proc/[0-9]*; do
		[ "$(cat "$airgap_process/comm" 2>/dev/null)" != "$1" ] || return 0
	done
	return 1
}
airgap_all_ended() { for airgap_name in "$@"; do ! runs "$airgap_name" || fail "$airgap_name still runs"; done; }

# stop_static_pods NAME...: of kubeadm's static pods; waits until their processes have ended. Others stay.
stop_static_pods() {
	mkdir -p "$airgap_stopped"
	airgap_names=
	for airgap_name in "$@"; do
		[ -f "/etc/kubernetes/manifests/$airgap_name.yaml" ] || [ -f "$airgap_stopped/$airgap_name.yaml" ] || continue
		airgap_names="$airgap_names $(printf %.15s "$airgap_name")"
		[ ! -f "/etc/kubernetes/manifests/$airgap_name.yaml" ] || mv -f "/etc/kubernetes/manifests/$airgap_name.yaml" "$airgap_stopped/"
	done
	# shellcheck disable=SC2086
	wait_for 180 airgap_all_ended $airgap_names
}

# start_static_pods: all that were stopped. Safe to repeat.
start_static_pods() {
	for airgap_file in "$airgap_stopped"/*.yaml; do
		[ ! -f "$airgap_file" ] || mv -f "$airgap_file" /etc/kubernetes/manifests/
	done
	rmdir "$airgap_stopped" 2>/dev/null || :
}

# stop_etcd: the member on a host of its own.
stop_etcd() { systemctl stop etcd.service; }

# restore_member FILE NAME PEER-URL MEMBERS TOKEN: the member's data become those of the snapshot. What it had stays beside, in
# airgap's own folder. The member must not run.
restore_member() {
	! runs etcd || fail "etcd still runs on this host"
	airgap_program=$(find_restorer)
	airgap_new=$airgap_home/etcd-restored
	airgap_old=$airgap_home/etcd-before-restore/$(date -u +%Y%m%dT%H%M%SZ)
	rm -rf "$airgap_new"
	set -- "$@" --data-dir "$airgap_new"
	# Watchers would take objects of a lower revision for ones that they have seen.
	if "$airgap_program" snapshot restore --help 2>&1 | grep -q -e --bump-revision; then set -- "$@" --bump-revision 1000000000 --mark-compacted; fi
	airgap_snapshot=$1 airgap_name=$2 airgap_url=$3 airgap_members=$4 airgap_token=$5
	shift 5
	"$airgap_program" snapshot restore "$airgap_snapshot" --name "$airgap_name" --initial-advertise-peer-urls "$airgap_url" --initial-cluster "$airgap_members" --initial-cluster-token "$airgap_token" "$@"
	mkdir -p /var/lib/etcd
	if [ -e /var/lib/etcd/member ]; then
		mkdir -p "$airgap_old"
		chmod 700 "$airgap_home/etcd-before-restore"
		mv /var/lib/etcd/member "$airgap_old/"
	fi
	mv "$airgap_new/member" /var/lib/etcd/
	[ ! -e /etc/airgap/etcd/member.crt ] || chown -R etcd /var/lib/etcd
	rm -rf "$airgap_new"
}

# start_member: on a host of its own; the first is ready when a second one runs.
start_member() { systemctl start --no-block etcd.service; }

# api_answers NODE: the API server of this host, and through it etcd.
api_answers() { kubectl get --raw=/readyz >/dev/null || fail "the API server on this host is not ready"; }

# --- by a timer ---

# airgap_backup_script ARGUMENT...: a script that calls keep_backup with these, and needs nothing else.
airgap_backup_script() {
	airgap_print_library
	printf 'set -e\nkeep_backup'
	printf " '%s'" "$@"
	echo
}

# backup_script_is PATH ARGUMENT...
backup_script_is() {
	airgap_path=$1
	shift
	[ "$(airgap_backup_script "$@" | sha256sum)" = "$(sha256sum 2>/dev/null <"$airgap_path")" ] || fail "$airgap_path makes other backups"
}

# put_backup_script PATH ARGUMENT...
put_backup_script() {
	airgap_path=$1
	shift
	close "${airgap_path%/*}"
	airgap_backup_script "$@" | put "$airgap_path" 600
}
