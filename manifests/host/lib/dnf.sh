# Packages by dnf (or yum 3) and rpm, only from the site's repositories.
# PINNED is a list of NAME-VERSION-RELEASE.ARCH, as rpm, dnf and yum all understand it: exactly these must be installed.
# OTHER is one package in the same form, or 'PACKAGE CAPABILITY': any installed version, and any package that
# provides the capability (or the name), is accepted.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# Packages that the system itself depends on: an extended expression.
airgap_rpm_base='^(glibc|systemd|openssl|openssl-libs|kernel|selinux-policy|rpm|dnf|yum|libdnf|sudo)(-.*)?$'

# airgap_rpm_provides OTHER
airgap_rpm_provides() {
	airgap_name=${1%% *}
	airgap_name=${airgap_name%-*-*}
	case $1 in
	*' '*) airgap_capability=${1#* } ;;
	*) airgap_capability=$airgap_name ;;
	esac
	rpm -q --quiet "$airgap_name" || rpm -q --quiet --whatprovides "$airgap_capability"
}

# rpm_has PINNED OTHER...
rpm_has() {
	for airgap_package in $1; do
		rpm -q --quiet "$airgap_package" || fail "$airgap_package is not installed"
	done
	shift
	for airgap_package in "$@"; do
		airgap_rpm_provides "$airgap_package" || fail "$airgap_capability is not installed"
	done
}

# airgap_dnf ARGUMENTS...: by $airgap_manager, only with $airgap_repositories. Packages that the host excludes from updates,
# as airgap does, may be installed.
airgap_dnf() {
	if [ "$airgap_manager" = yum ]; then
		set -- --disableexcludes=all "$@"
	else
		case $(dnf --version 2>/dev/null) in
		*dnf5*) set -- '--setopt=disable_excludes=*' "$@" ;;
		*) set -- --disableexcludes=all "$@" ;;
		esac
		set -- --setopt=install_weak_deps=False --setopt=optional_metadata_types= "$@"
	fi
	for airgap_id in $airgap_repositories; do set -- --enablerepo="$airgap_id" "$@"; done
	"$airgap_manager" --disablerepo='*' "$@"
}

# airgap_section EXPRESSION: names in the sections of $airgap_plan, the table of a transaction, whose title (`Removing:`)
# matches. A long name is alone on its line.
airgap_section() {
	printf '%s\n' "$airgap_plan" | awk -v wanted="$1" '
		/^[A-Z][A-Za-z ]*:$/ { on = ($0 ~ wanted); next }
		/^(Transaction Summary|=+|$)/ { on = 0 }
		on && /^ [^ ]/ { print $1 }'
}

# dnf_install MANAGER REPOSITORIES IGNORED PINNED OTHER...: MANAGER is dnf or yum, REPOSITORIES are ids, IGNORED the
# checks package-removal and base-packages if the user ignores them. Records what it has installed, for
# remove_packages.
dnf_install() {
	airgap_manager=$1
	airgap_repositories=$2
	airgap_ignored=$3
	airgap_packages=$4
	shift 4
	for airgap_package in "$@"; do
		airgap_rpm_provides "$airgap_package" || airgap_packages="$airgap_packages ${airgap_package%% *}"
	done
	# shellcheck disable=SC2086  # a list
	set -- $airgap_packages
	airgap_dnf clean metadata >/dev/null 2>&1 || :
	airgap_plan=$(airgap_dnf --assumeno install "$@" 2>&1) || :
	# A package that is obsoleted by another one is removed too.
	airgap_removed=$(airgap_section '^(Removing|Downgrading)')$(printf '%s\n' "$airgap_plan" | awk '/^ +replacing +/ { print $2 }')
	airgap_replaced=$(airgap_section '^(Upgrading|Updating)' | grep -E "$airgap_rpm_base" || :)
	airgap_refuse "$airgap_ignored" package-removal "$airgap_manager would remove or downgrade" "$airgap_removed"
	airgap_refuse "$airgap_ignored" base-packages "$airgap_manager would replace packages that the system depends on:" "$airgap_replaced"
	airgap_before=$(airgap_rpm_names)
	airgap_dnf -y install "$@"
	airgap_rpm_names | while read -r airgap_name; do
		printf '%s\n' "$airgap_before" | grep -qxF -e "$airgap_name" || printf '%s\n' "$airgap_name"
	done | grep -v '^gpg-pubkey$' >>"$airgap_home/installed-packages" || :
}
airgap_rpm_names() { rpm -qa --qf '%{NAME}\n' | sort; }

# dnf_excludes CONF NAME...: the manager's configuration keeps these out of every transaction except airgap's.
dnf_excludes() {
	airgap_excluded=$(sed -n 's/^exclude\(pkgs\)\{0,1\}[[:space:]]*=//p' "$1" | tr -s ', ' '\n')
	airgap_conf=$1
	shift
	for airgap_package in "$@"; do
		printf '%s\n' "$airgap_excluded" | grep -qxF -e "$airgap_package" || fail "$airgap_package is not held in $airgap_conf"
	done
}

# dnf_exclude CONF NAME...
dnf_exclude() {
	airgap_conf=$1
	shift
	keep "$airgap_conf"
	if grep -qE '^exclude(pkgs)?[[:space:]]*=' "$airgap_conf"; then
		sed -i -E "s/^(exclude(pkgs)?[[:space:]]*=.*)\$/\\1 $*/" "$airgap_conf"
	elif grep -q '^\[main\]' "$airgap_conf"; then
		sed -i "/^\\[main\\]/a exclude=$*" "$airgap_conf"
	else
		printf '[main]\nexclude=%s\n' "$*" >>"$airgap_conf"
	fi
}

# forget_dnf_repositories: removes what dnf and yum have cached from the site's repositories.
forget_dnf_repositories() { rm -rf /var/cache/dnf/airgap-* /var/cache/yum/*/*/airgap-*; }
