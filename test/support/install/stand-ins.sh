#!/bin/sh
# Programs of a host, for tests: one file under many names. Each keeps its state below $ROOT, which stands for /,
# or below $CLUSTER, and fails at what it was not made for. What it was called with is in $ROOT/calls.
# shellcheck disable=SC2154  # ROOT and CLUSTER come from the test
# shellcheck disable=SC1007,SC2015
set -u
name=${0##*/}
state=$ROOT/state
[ "$name" = stat ] || printf '%s %s\n' "$name" "$*" >>"$ROOT/calls"
# Power fails: everything that this script has begun is gone.
if [ -e "$ROOT/dies-at" ] && [ "$(wc -l <"$ROOT/calls")" -ge "$(cat "$ROOT/dies-at")" ]; then
	rm "$ROOT/dies-at"
	kill -9 0
fi
unknown() {
	printf '%s %s\n' "$name" "$*" >>"$ROOT/unknown"
	echo "$name: the test does not know: $*" >&2
	exit 64
}
has() { grep -qsxF -e "$2" "$state/$1"; }
add() { has "$1" "$2" || echo "$2" >>"$state/$1"; }
drop() {
	[ -e "$state/$1" ] || return 0
	grep -vxF -e "$2" "$state/$1" >"$state/$1.new"
	mv "$state/$1.new" "$state/$1"
}
unit_exists() { [ -e "$ROOT/etc/systemd/system/$1.service" ] || [ -e "$ROOT/etc/systemd/system/$1" ] || has units "$1"; }

# The unit that a package brings, if any.
unit_of() {
	case $1 in
	kubelet | containerd | docker | chrony | haproxy | keepalived) echo "$1" ;;
	containerd.io) echo containerd ;;
	docker-ce | docker.io | docker-engine) echo docker ;;
	*) echo none ;;
	esac
}
unpacked() { add units "$(unit_of "$1")"; }
removed() {
	for unit in units enabled active; do drop $unit "$(unit_of "$1")"; done
	drop units none
}

systemctl_() {
	verb= now= names=
	for word; do
		case $word in
		--now) now=1 ;;
		--quiet | --no-pager) ;;
		-*) unknown "$@" ;;
		*) if [ -z "$verb" ]; then verb=$word; else names="$names ${word%.service}"; fi ;;
		esac
	done
	case $verb in daemon-reload) return ;; esac
	code=0
	for unit in $names; do
		case $verb in
		enable)
			unit_exists "$unit" || { echo "Unit file $unit does not exist." >&2 && exit 1; }
			add enabled "$unit"
			[ -z "$now" ] || add active "$unit"
			;;
		disable)
			unit_exists "$unit" || exit 1
			drop enabled "$unit"
			[ -z "$now" ] || drop active "$unit"
			;;
		mask) add masked "$unit" ;;
		unmask) drop masked "$unit" ;;
		start | restart)
			unit_exists "$unit" || { echo "Unit $unit not found." >&2 && exit 5; }
			add active "$unit"
			;;
		reload) has active "$unit" || code=1 ;;
		try-restart) ;;
		stop) drop active "$unit" ;;
		is-active) has active "$unit" || code=3 ;;
		is-enabled)
			if has masked "$unit"; then echo masked && code=1; elif has enabled "$unit"; then echo enabled; else echo disabled && code=1; fi
			;;
		*) unknown "$@" ;;
		esac
	done
	exit $code
}

firewall_() {
	way=now zone=public said=
	for word; do
		case $word in
		-q) ;;
		--permanent) way=permanent ;;
		--zone=*) zone=${word#*=} ;;
		--get-zone-of-interface=*) echo public ;;
		--get-default-zone) echo public ;;
		--list-ports) said=port ;;
		--list-sources) said=source ;;
		--query-protocol=*) has "firewall-$way-$zone-protocol" "${word#*=}" || exit 1 ;;
		--add-protocol=*) add "firewall-$way-$zone-protocol" "${word#*=}" ;;
		--remove-protocol=*) drop "firewall-$way-$zone-protocol" "${word#*=}" ;;
		--query-port=*) has "firewall-$way-$zone-port" "${word#*=}" || exit 1 ;;
		--add-port=*) add "firewall-$way-$zone-port" "${word#*=}" ;;
		--add-source=*) add "firewall-$way-$zone-source" "${word#*=}" ;;
		--remove-port=*) drop "firewall-$way-$zone-port" "${word#*=}" ;;
		--remove-source=*) drop "firewall-$way-$zone-source" "${word#*=}" ;;
		*) unknown "$@" ;;
		esac
	done
	[ -z "$said" ] || tr '\n' ' ' <"$state/firewall-$way-$zone-$said" 2>/dev/null || :
}

ufw_() {
	words=$*
	case $words in
	'show added') echo 'Added user rules:' && cat "$state/ufw" 2>/dev/null || : ;;
	'delete allow '*) drop ufw "ufw allow ${words#delete allow }" ;;
	'route delete allow '*) drop ufw "ufw route allow ${words#route delete allow }" ;;
	'allow '* | 'route allow '*) add ufw "ufw $*" ;;
	*) unknown "$@" ;;
	esac
}

apt_() {
	simulate= verb= wanted= conf=
	while [ $# -gt 0 ]; do
		case $1 in
		-c) conf=$2 && shift ;;
		-y | --allow-change-held-packages) ;;
		-s) simulate=1 ;;
		-*) unknown "$@" ;;
		*) if [ -z "$verb" ]; then verb=$1; else wanted="$wanted $1"; fi ;;
		esac
		shift
	done
	case $verb in
	update | install) [ -s "$conf" ] && [ -s "$ROOT/etc/airgap/packages/sources.list" ] || { echo 'E: no sources' >&2 && exit 100; } ;;
	purge) ;;
	*) unknown "$verb" ;;
	esac
	for each in $wanted; do
		if [ "$verb" = purge ]; then
			grep -v "^$each " "$state/packages" >"$state/packages.new"
			mv "$state/packages.new" "$state/packages"
			removed "$each"
		elif [ -n "$simulate" ]; then
			grep -qs "^${each%%=*} " "$state/packages" || echo "Inst ${each%%=*} (${each#*=} site [amd64])"
		else
			grep -qs "^${each%%=*} " "$state/packages" || echo "${each%%=*} ${each#*=}" >>"$state/packages"
			unpacked "${each%%=*}"
		fi
	done
}

dpkg_query() {
	[ "$1" = -W ] || unknown "$@"
	format=${2#-f=}
	shift 2
	for each; do
		version=$(sed -n "s/^$each //p" "$state/packages" 2>/dev/null)
		[ -n "$version" ] || { echo "no packages found matching $each" >&2 && continue; }
		if has held "$each"; then want=hold; else want=install; fi
		# shellcheck disable=SC2016,SC2059
		printf "$(printf '%s' "$format" | sed -e "s/\${Package}/$each/" -e "s/\${Version}/$version/" -e "s/\${Status}/$want ok installed/" -e "s/\${db:Status-Want}/$want/")"
	done
}

mark_() {
	verb=$1
	shift
	case $verb in
	showhold) cat "$state/held" 2>/dev/null || : ;;
	hold) for each; do add held "$each"; done ;;
	unhold) for each; do drop held "$each"; done ;;
	*) unknown "$verb" "$@" ;;
	esac
}

# Packages are kept as NAME-VERSION.ARCH.
rpm_() {
	case "$*" in
	"-qa --qf %{NAME}\\n") sed 's/-[^-]*-[^-]*$//' "$state/packages" ;;
	'-q --quiet --whatprovides '*) sed 's/-[^-]*-[^-]*$//' "$state/packages" | grep -qxF -e "$4" ;;
	'-q --quiet '*) has packages "$3" || sed 's/-[^-]*-[^-]*$//' "$state/packages" | grep -qxF -e "$3" ;;
	*) unknown "$@" ;;
	esac
}

dnf_() {
	assume= verb= wanted=
	for word; do
		case $word in
		--version) echo 4.14.0 && exit ;;
		--enablerepo=*) grep -qxF "[${word#*=}]" "$ROOT/etc/yum.repos.d/airgap.repo" || { echo "no repository ${word#*=}" >&2 && exit 1; } ;;
		--disablerepo=* | --disableexcludes=all | --setopt=* | --noautoremove | -y) ;;
		--assumeno) assume=no ;;
		-*) unknown "$@" ;;
		*) if [ -z "$verb" ]; then verb=$word; else wanted="$wanted $word"; fi ;;
		esac
	done
	case $verb in
	clean) exit ;;
	remove)
		for each in $wanted; do
			grep -v "^$each-[^-]*-[^-]*$" "$state/packages" >"$state/packages.new"
			mv "$state/packages.new" "$state/packages"
			removed "$each"
		done
		exit
		;;
	install) ;;
	*) unknown "$@" ;;
	esac
	[ -z "$assume" ] || echo 'Installing:'
	for each in $wanted; do
		if has packages "$each"; then continue; fi
		if [ -n "$assume" ]; then echo " $each x86_64 1 site 1 M"; else add packages "$each" && unpacked "$(echo "$each" | sed 's/-[^-]*-[^-]*$//')"; fi
	done
	[ -z "$assume" ] || { echo 'Operation aborted.' && exit 1; }
}

images_() {
	last=
	for word; do last=$word; done
	case "$*" in
	'plugins ls')
		has active containerd || exit 1
		printf 'TYPE ID PLATFORMS STATUS\nio.containerd.grpc.v1 cri linux/amd64 ok\n'
		;;
	*'images ls -q' | *'image ls --format '*) cat "$state/images" 2>/dev/null || : ;;
	*'image inspect '*) has images "$last" ;;
	'pull '* | *' pull '*)
		# Without the site's registry an image comes from nowhere.
		[ "$name" = docker ] || [ -s "$ROOT/etc/containerd/certs.d/${last%%/*}/hosts.toml" ] || { echo "no host for $last" >&2 && exit 1; }
		if [ "$name" = docker ]; then has active docker || exit 1; else has active containerd || exit 1; fi
		add images "$last"
		;;
	*) unknown "$@" ;;
	esac
}

# admin_conf ENDPOINT: the client is the authority itself.
admin_conf() {
	ca=$(base64 -w 0 <"$ROOT/etc/kubernetes/pki/ca.crt")
	key=$(base64 -w 0 <"$ROOT/etc/kubernetes/pki/ca.key")
	cat <<CONF
apiVersion: v1
kind: Config
clusters: [{ name: kubernetes, cluster: { certificate-authority-data: $ca, server: "https://$1" } }]
users: [{ name: admin, user: { client-certificate-data: $ca, client-key-data: $key } }]
contexts: [{ name: admin@kubernetes, context: { cluster: kubernetes, user: admin } }]
current-context: admin@kubernetes
preferences: {}
CONF
}

kubeadm_() {
	case $1 in
	config | completion) echo "# $*" ;;
	init | join)
		[ "$2" = --config ] && [ -s "$3" ] || exit 1
		[ "$(wc -l <"$ROOT/proc/swaps")" -le 1 ] || { echo '[ERROR Swap]: running with swap on is not supported' >&2 && exit 1; }
		[ "$(cat "$ROOT/proc/sys/net/ipv4/ip_forward")" = 1 ] || exit 1
		has enabled kubelet || exit 1
		mkdir -p "$ROOT/etc/kubernetes/pki" "$ROOT/var/lib/kubelet" "$ROOT/etc/cni/net.d" "$ROOT/proc/4242/ns"
		if [ "$1" = init ]; then
			[ -s "$ROOT/etc/kubernetes/pki/ca.key" ] || exit 1
			mkdir -p "$ROOT/var/lib/etcd/member"
			admin_conf "$(sed -n 's/^controlPlaneEndpoint: //p' "$3" | tr -d "'\"")" >"$ROOT/etc/kubernetes/admin.conf"
			: >"$CLUSTER/up"
			sed -n 's/^ *- token: .*\.//p' "$3" | tr -d '\n' | base64 >"$CLUSTER/token"
		elif grep -q '^controlPlane:' "$3"; then
			# etcd of a member that is known from before, and has lost its data, never works.
			! grep -qsxF "$(cat "$state/hostname")" "$CLUSTER/members" || { echo 'panic: tocommit is out of range' >&2 && exit 1; }
			mkdir -p "$ROOT/var/lib/etcd/member"
			admin_conf "$(sed -n 's/^ *apiServerEndpoint: //p' "$3" | tr -d "'\"")" >"$ROOT/etc/kubernetes/admin.conf"
		fi
		[ ! -e "$ROOT/var/lib/etcd/member" ] || cat "$state/hostname" >>"$CLUSTER/members"
		echo 'kind: Config' >"$ROOT/etc/kubernetes/kubelet.conf"
		: >"$ROOT/var/lib/kubelet/config.yaml"
		: >"$ROOT/etc/cni/net.d/10-flannel.conflist"
		echo pause >"$ROOT/proc/4242/comm"
		ln -sf 'net:[2]' "$ROOT/proc/4242/ns/net"
		add active kubelet
		cat "$state/hostname" >>"$CLUSTER/nodes"
		;;
	reset)
		if [ -e "$ROOT/var/lib/etcd/member" ]; then
			grep -vxF "$(cat "$state/hostname")" "$CLUSTER/members" >"$CLUSTER/members.new" || rm -f "$CLUSTER/up"
			mv "$CLUSTER/members.new" "$CLUSTER/members"
			rm -rf "$ROOT/var/lib/etcd"
		fi
		grep -vxF "$(cat "$state/hostname")" "$CLUSTER/nodes" >"$CLUSTER/nodes.new" || :
		mv "$CLUSTER/nodes.new" "$CLUSTER/nodes"
		rm -rf "$ROOT/etc/kubernetes/admin.conf" "$ROOT/etc/kubernetes/kubelet.conf" "$ROOT/proc/4242"
		drop active kubelet
		;;
	*) unknown "$@" ;;
	esac
}

applied() { cat "$CLUSTER/applied/"* 2>/dev/null; }
kubectl_() {
	[ "$1" = completion ] || [ -e "$CLUSTER/up" ] || exit 1
	last=
	for word; do last=$word; done
	case "$*" in
	'completion bash') echo '# kubectl' ;;
	'get --raw=/healthz' | *'get configmap kubeadm-config' | *'wait --for='* | *'rollout '* | *'config set-context '*) echo ok ;;
	*' member list') sed 's/.*/id-&, started, &, https:\/\/x-&:2380, x, false/' "$CLUSTER/members" ;;
	*' member remove '*)
		grep -vxF "${last#id-}" "$CLUSTER/members" >"$CLUSTER/members.new"
		mv "$CLUSTER/members.new" "$CLUSTER/members"
		;;
	'delete node '*)
		grep -vxF "$3" "$CLUSTER/nodes" >"$CLUSTER/nodes.new"
		mv "$CLUSTER/nodes.new" "$CLUSTER/nodes"
		;;
	'get nodes -o jsonpath={range .items[*]}node '*) sed 's/^/node /' "$CLUSTER/nodes" ;;
	'get node '*' --ignore-not-found '*) grep -xF "$3" "$CLUSTER/nodes" || : ;;
	*'get secret bootstrap-token-'*) cat "$CLUSTER/token" ;;
	'apply -f '*airgap-token.yaml) sed -n 's/^ *token-secret: *//p' "$last" | tr -d '\n"' | base64 >"$CLUSTER/token" ;;
	'apply -f '*) mkdir -p "$CLUSTER/applied" && cp "$last" "$CLUSTER/applied/" ;;
	'diff -f '*) cmp -s "$last" "$CLUSTER/applied/${last##*/}" ;;
	'diff --server-side '*) exit 1 ;;
	*'get deployment/coredns -o '*) echo 1 1 2 2 2 ;;
	*'get '*/*' -o jsonpath={.metadata.generation}'*) applied | grep -q "name: ${4#*/}" && echo 1 1 2 2 2 ;;
	'get nodes -o jsonpath='*kubeletVersion*) sed "s/\$/ $(cat "$CLUSTER/version") True/" "$CLUSTER/nodes" ;;
	'get nodes -o jsonpath='*Ready*) sed 's/$/ True/' "$CLUSTER/nodes" ;;
	'get node '*.spec.taints*) cat "$CLUSTER/taints" 2>/dev/null || : ;;
	'get node '*) grep -xF "$3" "$CLUSTER/nodes" ;;
	'get nodes -o name -l '*)
		for word in $(echo "$6" | tr , ' '); do
			[ "$word" = kubernetes.io/hostname ] || grep -qsxF "$word" "$CLUSTER/labels" || exit 0
		done
		echo "node/${last#*=}"
		;;
	'label --overwrite node '* | 'taint --overwrite node '*)
		verb=$1
		shift 4
		for word; do echo "$word" >>"$CLUSTER/${verb}s"; done
		;;
	*'get pods -o jsonpath='*) echo 'coredns-1 Running True' ;;
	*'get service airgap-probe-port '*) echo 30123 ;;
	*'get daemonset,service -o name') applied | grep -o 'name: airgap-probe' || : ;;
	*'get configmap coredns '*) cat "$CLUSTER/corefile" ;;
	*'create configmap coredns '*) cat "${6#*=Corefile=}" ;;
	'replace -f -') cat >"$CLUSTER/corefile.new" && mv "$CLUSTER/corefile.new" "$CLUSTER/corefile" ;;
	*'delete --ignore-not-found '*) rm -f "$CLUSTER/applied/airgap-probe.yaml" ;;
	*) unknown "$@" ;;
	esac
}

nsenter_() {
	case $8 in
	*/dev/udp/*)
		printf '\101\107\201\200\000\001\000\001\000\000\000\000'
		# The question behind its twelve bytes, then one address.
		question=$(printf '%s' "${10}" | cut -c 49-)
		# shellcheck disable=SC2059
		printf "$question"
		printf '\300\014\000\001\000\001\000\000\000\036\000\004\012\364\000\002'
		;;
	*/dev/tcp/*) echo 'bash: connect: Connection refused' && exit 1 ;;
	*) unknown "$@" ;;
	esac
}

case $name in
systemctl) systemctl_ "$@" ;;
firewall-cmd) firewall_ "$@" ;;
ufw) ufw_ "$@" ;;
apt-get) apt_ "$@" ;;
dpkg) [ "$1" = --configure ] || unknown "$@" ;;
dpkg-query) dpkg_query "$@" ;;
apt-mark) mark_ "$@" ;;
rpm) rpm_ "$@" ;;
dnf | yum) dnf_ "$@" ;;
ctr | docker) images_ "$@" ;;
kubeadm) grep -qs '^kubeadm[ -]' "$state/packages" && kubeadm_ "$@" ;;
kubectl) kubectl_ "$@" ;;
nsenter) nsenter_ "$@" ;;
uname) cat "$state/hostname" ;;
hostname) if [ $# -eq 0 ]; then cat "$state/hostname"; else echo "$1" >"$state/hostname"; fi ;;
hostnamectl) echo "$2" >"$state/hostname" ;;
modprobe)
	mkdir -p "$ROOT/sys/module/$1"
	if [ "$1" = br_netfilter ]; then
		mkdir -p "$ROOT/proc/sys/net/bridge"
		for each in iptables ip6tables; do echo 0 >"$ROOT/proc/sys/net/bridge/bridge-nf-call-$each"; done
	fi
	;;
swapoff) head -n 1 "$ROOT/proc/swaps" >"$state/swaps" && cat "$state/swaps" >"$ROOT/proc/swaps" ;;
swapon) awk '/^[^#]/ && $3 == "swap" { print $1 " partition 4194300 0 -2" }' "$ROOT/etc/fstab" >>"$ROOT/proc/swaps" ;;
getenforce) cat "$state/selinux" ;;
setenforce) if [ "$1" = 0 ]; then echo Permissive; else echo Enforcing; fi >"$state/selinux" ;;
update-ca-certificates) cat "$ROOT/state/ca" "$ROOT/usr/local/share/ca-certificates/"*.crt >"$ROOT/etc/ssl/certs/ca-certificates.crt" 2>/dev/null || : ;;
update-ca-trust) cat "$ROOT/state/ca" "$ROOT/etc/pki/ca-trust/source/anchors/"*.crt >"$ROOT/etc/pki/tls/certs/ca-bundle.crt" 2>/dev/null || : ;;
ip)
	case "$*" in
	'-o addr show to '* | 'neigh '*) ;;
	'link show '* | '-o link show' | 'netns list') exit 1 ;;
	'-4 route show '*) grep -s "^$4 " "$state/routes" ;;
	'route del '*) drop routes "$3 dev $5" ;;
	*) unknown "$@" ;;
	esac
	;;
getent)
	case $2 in
	airgap-*) has "$1" "$2" && echo "$2:x:990:990::/nonexistent:/bin/false" ;;
	*) echo "$2:x:0:0::$ROOT/root:/bin/sh" ;;
	esac
	;;
groupadd | useradd)
	for last; do :; done
	if [ "$name" = groupadd ]; then add group "$last"; else has group "$last" && add passwd "$last"; fi
	;;
userdel) has passwd "$1" && ! has active airgap-serve && drop passwd "$1" ;;
groupdel) ! has passwd "$1" && has group "$1" && drop group "$1" ;;
# Who owns what is kept by its inode: only root may give files away.
chgrp) has group "$1" && echo "$(command -p stat -c %i "$2") $1" >>"$state/owned" ;;
stat)
	case $2 in
	*%G*)
		group=$(sed -n "s/^$(command -p stat -c %i "$3") //p" "$state/owned" 2>/dev/null | tail -n 1)
		echo "$(command -p stat -c "${2%%%G*}" "$3")${group:-root}"
		;;
	*) command -p stat "$@" ;;
	esac
	;;
timeout) [ "$1" = 2 ] || [ -s "$ROOT/etc/keepalived/keepalived.conf" ] || [ "$5" != 10.0.0.200 ] || exit 1 ;;
haproxy) [ -s "$4" ] ;;
keepalived) [ "$1" = --help ] || [ -s "$3" ] ;;
getsebool) if has sebool "$1"; then echo "$1 --> on"; else echo "$1 --> off"; fi ;;
setsebool) if [ "$3" = 1 ]; then add sebool "$2"; else drop sebool "$2"; fi ;;
sleep) echo $(($(cat "$state/slept" 2>/dev/null || echo 0) + ${1%.*})) >"$state/slept" ;;
# The clock goes on while nobody really sleeps.
date) if [ "$*" = +%s ]; then echo $(($(command -p date +%s) + $(cat "$state/slept" 2>/dev/null || echo 0))); else command -p date "$@"; fi ;;
restorecon | journalctl) ;;
install)
	# Nobody but root may give files away.
	set -- "$@" --
	while [ "$1" != -- ]; do
		case $1 in
		-o | -g) shift ;;
		*) set -- "$@" "$1" ;;
		esac
		shift
	done
	shift
	command -p install "$@"
	;;
*) unknown "$@" ;;
esac
