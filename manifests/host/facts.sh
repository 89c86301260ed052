# Prints a host's facts as lines of NAME|VALUE; a repeated name adds a line. Changes nothing.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL PATH

say() { printf '%s|%s\n' "$1" "$2"; }
lines() { sed "s/^/$1|/"; }
have() { command -v "$1" >/dev/null 2>&1; }
quiet() { "$@" 2>/dev/null; }

# Files are printed whole, up to a size that no real configuration has.
text() { [ ! -f "$2" ] || head -c 262144 "$2" | lines "$1"; }

[ ! -f /etc/os-release ] || lines os </etc/os-release
say kernel "$(uname -r)"
say machine "$(uname -m)"
say hostname "$(uname -n)"
say cgroup "$(quiet stat -fc %T /sys/fs/cgroup)"
say glibc "$(quiet getconf GNU_LIBC_VERSION)"
say init "$(quiet cat /proc/1/comm)"
say systemd "$(quiet systemctl --version | head -n 1)"
for p in apt-get dnf yum; do have $p && say package-manager $p && break; done
say cores "$(quiet getconf _NPROCESSORS_ONLN)"
say memory-kib "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
for d in / /var/lib /var/lib/airgap /var/lib/etcd /var/lib/containerd /var/lib/docker /etc /opt /usr /tmp; do
	quiet df -Pk $d | awk -v d=$d 'NR == 2 { print d, $4, $6 }' | lines free-kib
done
say time "$(date +%s)"
say capabilities "$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)"
say machine-id "$(quiet cat /etc/machine-id)"
say product-uuid "$(quiet cat /sys/class/dmi/id/product_uuid)"
for n in /sys/class/net/*; do
	[ ! -e "$n/device" ] || say mac "$(quiet cat "$n/address")"
done
if have ip; then
	ip -o addr show scope global | awk '{ print $2, $4 }' | lines address
	ip -4 route show | lines route
	ip -6 route show default | lines route6
fi
if have getenforce; then say selinux "$(getenforce)"; fi
tail -n +2 /proc/swaps | lines swap
quiet sed -n '/^[^#]/p' /etc/fstab | awk '$3 == "swap"' | lines fstab-swap
for f in /etc/systemd/zram-generator.conf /usr/lib/systemd/zram-generator.conf; do
	# An empty file in /etc turns off the one in /usr.
	if [ -e $f ]; then [ ! -s $f ] || say zram $f && break; fi
done
if have systemctl; then
	quiet systemctl list-units --type=service --state=active --no-legend --plain --no-pager | awk '{ print $1 }' | lines active
	# Listing all unit files would take a second.
	for u in chrony chronyd zramswap; do [ "$(quiet systemctl is-enabled $u)" != enabled ] || say enabled $u; done
fi
if have ufw && quiet ufw status | grep -q '^Status: active'; then say active-firewall ufw; fi
for m in overlay br_netfilter nf_conntrack nf_conntrack_ipv4 ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh nf_tables; do
	if [ -d /sys/module/$m ] || quiet grep -qw "^$m" /proc/modules || quiet modinfo $m >/dev/null; then say module $m; fi
done
[ ! -d /proc/sys/net/bridge ] || say module br_netfilter
[ ! -e /proc/net/ip_vs ] || say module ip_vs
grep -qw overlay /proc/filesystems && say module overlay
[ ! -e /proc/sys/net/netfilter/nf_conntrack_max ] || say module nf_conntrack
text resolv-conf /etc/resolv.conf
text resolv-conf-systemd /run/systemd/resolve/resolv.conf
have containerd && say containerd "$(quiet containerd --version | awk '{ print $3 }')"
have dockerd && say docker "$(quiet dockerd --version | sed 's/^Docker version \([^,]*\).*/\1/')"
have cri-dockerd && say cri-dockerd "$(quiet cri-dockerd --version 2>&1 | head -n 1)"
have kubelet && say kubelet "$(quiet kubelet --version | awk '{ print $2 }')"
have etcd && say etcd "$(quiet etcd --version | head -n 1)"
have podman && say podman "$(quiet podman --version | awk '{ print $3 }')"
for t in kubeadm update-ca-trust update-ca-certificates conntrack socat ethtool ipvsadm crictl firewall-cmd hostnamectl bash nft iptables haproxy keepalived; do have $t && say tool $t; done
text containerd-config /etc/containerd/config.toml
text docker-config /etc/docker/daemon.json
for f in /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /etc/kubernetes/bootstrap-kubelet.conf /etc/kubernetes/manifests/kube-apiserver.yaml /var/lib/etcd/member /var/lib/airgap/kubeadm-began /var/lib/airgap/kubeadm-discarded /etc/cni/net.d/*; do
	[ ! -e "$f" ] || say exists "$f"
done
text kubernetes-ca /etc/kubernetes/pki/ca.crt
text apiserver-certificate /etc/kubernetes/pki/apiserver.crt
have kubeadm && say kubeadm "$(quiet kubeadm version -o short)"
for f in /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet /etc/systemd/system/kubelet.service.d/*.conf; do
	[ ! -f "$f" ] || head -c 65536 "$f" | grep -e -- | sed "s#^#$f|#" | lines kubelet-flags
done
quiet sed -n 's/^cgroupDriver: *//p' /var/lib/kubelet/config.yaml | lines kubelet-cgroup
for c in kube-apiserver etcd; do
	[ ! -f /etc/kubernetes/manifests/$c.yaml ] || say component "$c $(sed -n 's/^ *image: *//p' /etc/kubernetes/manifests/$c.yaml | head -n 1)"
done
[ ! -d /var/lib/etcd/member ] || say etcd-kib "$(quiet du -sk /var/lib/etcd | awk '{ print $1 }')"
quiet sed -n 's/^ExecStart=//p' /etc/systemd/system/airgap-serve.service | tr ' ' '\n' | grep '^/var/lib/airgap/bundles/.*\.tar$' | while read -r f; do [ ! -f "$f" ] || say serves "$f"; done
text kubelet-server /etc/kubernetes/kubelet.conf | grep 'server:'
text owner /var/lib/airgap/cluster
text harbor /var/lib/airgap/harbor/version
text verified /var/lib/airgap/verified
for f in /var/lib/airgap/sequences/*; do
	[ ! -f "$f" ] || say sequence "${f##*/} $(cat "$f")"
done
if [ -s /etc/airgap/serve/tls.key ]; then
	text site-ca /etc/airgap/ca.crt
	text site-certificate /etc/airgap/serve/tls.crt
fi
if have ss; then
	ss -Hltn | awk '{ n = split($4, a, ":"); print a[n] }' | sort -un | lines listening
else
	# 0A is LISTEN; ports are written in hexadecimal: proc_net_tcp.rst of the kernel.
	quiet cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" { n = split($2, a, ":"); print a[n] }' | sort -u | while read -r p; do say listening "$((0x$p))"; done
fi
{
	env
	quiet cat /etc/environment
	quiet systemctl show-environment
} | grep -iE '^(export )?(https?|all)_proxy=.' | sed 's#//[^/@]*@#//#' | lines proxy
for p in ip iptables mount nsenter conntrack crictl; do have $p || say lacks $p; done
say end "$(date +%s)"
