# Installs packages into a bare root file system in which dpkg itself is unpacked, without any network.
# $1: a list of the packages that everything else needs, $2: a list of all; file names, one a line
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd "$(dirname "$2")"

[ -e /bin/sh ] || ln -s dash /bin/sh
[ -e /usr/bin/awk ] || [ ! -e /usr/bin/mawk ] || ln -s mawk /usr/bin/awk
mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /etc/dpkg/dpkg.cfg.d
[ -e /var/lib/dpkg/status ] || : >/var/lib/dpkg/status
[ -e /var/lib/dpkg/available ] || : >/var/lib/dpkg/available
# Nothing is started while it is installed.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d

quietly() {
	"$@" >log 2>&1 || { tail -n 40 log >&2; exit 1; }
}
# Until everything is there, what one package expects of another may be missing; at the end it may not.
force="--force-depends --force-confnew --force-unsafe-io"
first=$(grep -E '^(base-passwd|base-files)_' "$1")
# shellcheck disable=SC2046,SC2086  # lists of names without blanks
{
	quietly dpkg $force --install $first
	quietly dpkg $force --install $(cat "$1")
	quietly dpkg $force --unpack $(cat "$2")
	quietly dpkg --force-confnew --force-unsafe-io --configure --pending
}
quietly dpkg --audit
[ ! -s log ] || { cat log >&2; exit 1; }
quietly apt-get check

rm -f /usr/sbin/policy-rc.d /etc/machine-id /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
rm -rf /var/lib/apt/lists /var/cache/apt/archives
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial
