# Runs steps: each has a check, which changes nothing and succeeds when the step is already done, and an
# apply, which does it.
#   airgap_mode  apply, or check, which changes nothing
#   airgap_mark  starts the lines for a program; empty when a person reads the output
# shellcheck disable=SC2154,SC2317  # airgap_library is set before; show and taken_back are defined again by each step
set -u
: "${airgap_mode:=check}" "${airgap_mark:=}"
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
KUBECONFIG=/etc/kubernetes/admin.conf
HOME=${HOME:-/root}
DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH KUBECONFIG HOME DEBIAN_FRONTEND
unset http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY CDPATH
umask 022
airgap_home=/var/lib/airgap
airgap_lock=/run/airgap.lock
airgap_failed=0

# --- the parts of steps ---

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# wait_for SECONDS COMMAND...: repeats it until it succeeds. Shows the output of the last try.
wait_for() {
	airgap_until=$(($(date +%s) + $1))
	shift
	until airgap_said=$("$@" 2>&1); do
		if [ "$(date +%s)" -ge "$airgap_until" ]; then
			printf '%s\n' "$airgap_said"
			return 1
		fi
		sleep 1
	done
}

# relabel PATH: a moved file keeps the label of its old folder, which SELinux may not allow services to read.
relabel() { if have restorecon; then restorecon "$1" 2>/dev/null || :; fi; }

# keep PATH: keeps the file from before our first change, for give_back.
keep() {
	airgap_kept=$airgap_home/before$1
	if [ -e "$airgap_kept" ] || [ -h "$airgap_kept" ] || [ -e "$airgap_kept.absent" ]; then return 0; fi
	mkdir -p "${airgap_kept%/*}"
	chmod 700 "$airgap_home/before"
	if [ -e "$1" ] || [ -h "$1" ]; then
		cp -pP "$1" "$airgap_kept.new" && mv -f "$airgap_kept.new" "$airgap_kept"
	else
		: >"$airgap_kept.absent"
	fi
}

# was_changed PATH: airgap has changed a file that existed before, and has not given it back.
was_changed() { [ -e "$airgap_home/before$1" ]; }

# give_back PATH: restores the file from before our first change; a file that airgap did not change stays.
give_back() {
	airgap_kept=$airgap_home/before$1
	if [ -e "$airgap_kept" ] || [ -h "$airgap_kept" ]; then
		mkdir -p "${1%/*}"
		mv -f "$airgap_kept" "$1"
		relabel "$1"
	elif [ -e "$airgap_kept.absent" ]; then
		rm -f "$1" "$airgap_kept.absent"
	fi
}

# put PATH MODE: writes stdin to a file, whole or not at all.
put() {
	keep "$1"
	mkdir -p "${1%/*}"
	rm -f "$1.airgap"
	(umask 077 && cat >"$1.airgap")
	chmod "$2" "$1.airgap"
	mv -f "$1.airgap" "$1"
	relabel "$1"
}

# close FOLDER [GROUP]: for files that may hold secrets. The group can enter, but not change anything.
close() {
	mkdir -p "$1"
	if [ $# -eq 1 ]; then
		chmod 700 "$1"
	else
		chgrp "$2" "$1" && chmod 750 "$1"
	fi
}
closed() {
	if [ $# -eq 1 ]; then
		[ "$(stat -c %a "$1" 2>/dev/null)" = 700 ]
	else
		[ "$(stat -c '%a %G' "$1" 2>/dev/null)" = "750 $2" ]
	fi || fail "other users can enter $1"
}

# same PATH MODE SHA256 [GROUP]
same() {
	[ -f "$1" ] && [ "$(stat -c %a "$1")" = "$2" ] && [ "$(sha256sum <"$1")" = "$3  -" ] || return 1
	[ $# -lt 4 ] || [ "$(stat -c %G "$1")" = "$4" ]
}

# from_beside NAME PATH: puts a file that is beside a script where a program would have sent it.
from_beside() {
	[ -n "${airgap_beside-}" ] || return 0
	[ -f "$airgap_beside/$1" ] || fail "$1 must be beside this script, in $airgap_beside"
	mkdir -p "${2%/*}"
	rm -f "$2"
	# A copy: what is here gets an owner and a mode of its own.
	cp --reflink=auto "$airgap_beside/$1" "$2" 2>/dev/null || cp "$airgap_beside/$1" "$2"
}

# unpack_carried NAME PATH DIGEST: unpacks the archive that was sent to PATH.part, or that is beside a script as NAME, into
# $airgap_folder, until the end of the step.
unpack_carried() {
	from_beside "$1" "$2.part"
	[ "sha256:$(sha256sum <"$2.part")" = "$3  -" ] || {
		rm -f "$2.part"
		fail "$1 is damaged"
	}
	airgap_folder=$(mktemp -d)
	trap 'rm -rf "$airgap_folder"' EXIT
	gzip -dc "$2.part" | tar -xf - -C "$airgap_folder" --no-same-owner
}

# A block of lines in a file that others write too. If the file is a link, it stays one.
# block PATH: prints it, with its two marks.
block() { [ ! -e "$1" ] || sed -n "/^# BEGIN airgap\$/,/^# END airgap\$/p" "$1"; }
# block_has PATH LINE...
block_has() {
	airgap_path=$1
	shift
	airgap_block=$(block "$airgap_path")
	for airgap_line in "$@"; do
		printf '%s\n' "$airgap_block" | grep -qxF -e "$airgap_line" || fail "$airgap_line is not in $airgap_path"
	done
}
# drop_block PATH
drop_block() { [ ! -e "$1" ] || sed -i "/^# BEGIN airgap\$/,/^# END airgap\$/d" "$(readlink -f "$1")"; }
# put_block PATH: replaces it with stdin, at the end of the file.
put_block() {
	set -- "$(readlink -f "$1")"
	keep "$1"
	touch "$1"
	airgap_block=$(cat)
	rm -f "$1.airgap"
	cp -p "$1" "$1.airgap"
	{
		# awk adds a missing line feed to the last line.
		awk '/^# BEGIN airgap$/ { ours = 1 } !ours { print } /^# END airgap$/ { ours = 0 }' "$1"
		printf '# BEGIN airgap\n%s\n# END airgap\n' "$airgap_block"
	} >"$1.airgap"
	mv -f "$1.airgap" "$1"
	relabel "$1"
}

# stamped UNIT STAMP [FILE...]: the service runs with its current configuration: no file was written after its restart.
stamped() {
	airgap_stamp=$airgap_home/stamps/$1
	systemctl is-active --quiet "$1" && [ "$(cat "$airgap_stamp" 2>/dev/null)" = "$2" ] || return 1
	shift 2
	[ $# -eq 0 ] || [ -z "$(find "$@" -newer "$airgap_stamp" 2>/dev/null)" ]
}
stamp() {
	mkdir -p "$airgap_home/stamps"
	printf '%s\n' "$2" >"$airgap_home/stamps/$1"
}
# restart UNIT STAMP: enables and restarts it; it must still run two seconds later.
restart() {
	systemctl daemon-reload
	systemctl unmask "$1" 2>/dev/null || :
	systemctl enable "$1"
	systemctl restart "$1" || airgap_explain "$1"
	sleep 2
	systemctl is-active --quiet "$1" || airgap_explain "$1"
	stamp "$1" "$2"
}
airgap_explain() {
	journalctl --no-pager -n 30 -u "$1" 2>/dev/null || systemctl status --no-pager "$1" || :
	fail "$1 does not run"
}

# --- running steps ---

airgap_try() {
	(
		set -e
		"$1"
	) </dev/null 2>&1
}

airgap_say() {
	if [ -n "$airgap_mark" ]; then printf '\n%s %s\n' "$airgap_mark" "$*"; fi
}

# How to undo a step is kept on the host itself, before the step is applied: a reset needs nothing else.
# Numbers go down, so that the last step comes first; a step that is applied again keeps its number.
airgap_keep_undo() {
	airgap_text=$(taken_back)
	[ -n "$airgap_text" ] || return 0
	close "$airgap_home/undo"
	airgap_name=$(printf '%s' "$1" | tr / +)
	airgap_file=
	for airgap_known in "$airgap_home/undo/"[0-9]*"-$airgap_name"; do
		[ ! -e "$airgap_known" ] || airgap_file=$airgap_known
	done
	if [ -z "$airgap_file" ]; then
		airgap_number=9999
		for airgap_known in "$airgap_home/undo/"[0-9]*; do
			airgap_known=${airgap_known##*/}
			case $airgap_known in [0-9]*-*) airgap_number=$((${airgap_known%%-*} - 1)) ;; esac
			break
		done
		airgap_file=$airgap_home/undo/$airgap_number-$airgap_name
	fi
	airgap_functions=$airgap_home/library/$airgap_library.sh
	airgap_part=$(printf '(\n[ ! -e %s ] || . %s\n%s\n)' "$airgap_functions" "$airgap_functions" "$airgap_text")
	if [ -e "$airgap_file" ]; then
		airgap_known=$(sed -e 1d -e '/^[()]$/d' -e '/^\[ ! -e .*\/library\//d' "$airgap_file")
		case $airgap_known in
		"$airgap_text") ;;
		*"$airgap_text"*) return 0 ;;
		# What was applied under this name with other arguments, a path or a range, is undone as well.
		*) airgap_part=$(printf '%s\n(\n%s\n)' "$airgap_part" "$(sed 1d "$airgap_file")") ;;
		esac
	fi
	printf '# %s\n%s\n' "$2" "$airgap_part" >"$airgap_file"
}

# run ID TITLE, after check, apply and, if needed, show and taken_back are defined.
run() {
	airgap_say begin "$1"
	airgap_output=$(airgap_try check)
	airgap_code=$?
	if [ "$airgap_code" -eq 0 ]; then
		airgap_end "$1" already "$2"
		return 0
	fi
	if [ "$airgap_mode" = check ]; then
		printf '%s\n' "$airgap_output"
		airgap_say show "$1"
		airgap_try show
		airgap_end "$1" would-change "$2"
		return 0
	fi
	airgap_say applying "$1"
	airgap_keep_undo "$1" "$2"
	if [ -n "$airgap_mark" ]; then
		airgap_try apply
		airgap_code=$?
	else
		airgap_output=$(airgap_try apply)
		airgap_code=$?
	fi
	if [ "$airgap_code" -eq 0 ]; then
		airgap_output=$(airgap_try check)
		airgap_code=$?
		[ "$airgap_code" -eq 0 ] || airgap_output="The change was made, but the check still fails: $airgap_output"
		[ "$airgap_code" -eq 0 ] || [ -z "$airgap_mark" ] || printf '%s\n' "$airgap_output"
	fi
	if [ "$airgap_code" -ne 0 ]; then
		[ -n "$airgap_mark" ] || printf '%s\n' "$airgap_output"
		airgap_end "$1" failed "$2"
		exit 1
	fi
	airgap_end "$1" 'done' "$2"
}

# undo ID TITLE, after apply is defined as the undo. Safe to repeat; a failure does not stop the rest.
undo() {
	airgap_say begin "$1"
	airgap_say applying "$1"
	if [ -n "$airgap_mark" ]; then
		airgap_try apply
		airgap_code=$?
	else
		airgap_output=$(airgap_try apply)
		airgap_code=$?
	fi
	if [ "$airgap_code" -eq 0 ]; then
		airgap_end "$1" 'done' "$2"
	else
		[ -n "$airgap_mark" ] || printf '%s\n' "$airgap_output"
		airgap_failed=1
		airgap_end "$1" failed "$2"
	fi
}

# Undoes all steps of this host, the last first; a step that cannot be undone is kept for another try.
# undo_all packages: also removes the packages that were installed.
undo_all() {
	airgap_worst=0
	for airgap_undo in "$airgap_home/undo/"[0-9]*; do
		[ -e "$airgap_undo" ] || continue
		# shellcheck source=/dev/null
		apply() { . "$airgap_undo"; }
		airgap_failed=0
		undo "$(printf '%s' "${airgap_undo##*/[0-9][0-9][0-9][0-9]-}" | tr + /)" "$(sed -n '1s/^# //p' "$airgap_undo")"
		if [ "$airgap_failed" -eq 0 ]; then rm -f "$airgap_undo"; else airgap_worst=1; fi
	done
	airgap_failed=0
	if [ "${1-}" = packages ] && [ -s "$airgap_home/installed-packages" ]; then
		apply() { remove_packages "$airgap_home/installed-packages"; }
		undo packages/remove 'Packages that came with the cluster are gone'
	fi
	[ "$airgap_worst" -eq 0 ] || airgap_failed=1
	[ "$airgap_failed" -eq 0 ] || return 0
	rm -rf /etc/airgap
	# Packages that stay are still recorded as ours, so that a later reset can remove them.
	[ "${1-}" != packages ] || rm -f "$airgap_home/installed-packages"
	find "$airgap_home" -mindepth 1 -maxdepth 1 ! -name installed-packages -exec rm -rf {} +
	rmdir "$airgap_home" 2>/dev/null || :
}

airgap_end() {
	show() { :; }
	taken_back() { :; }
	if [ -n "$airgap_mark" ]; then airgap_say end "$1" "$2"; else printf '%-14s %-28s %s\n' "$2" "$1" "$3"; fi
}
show() { :; }
taken_back() { :; }

# One run at a time works on a host; a lock of a process that has ended is taken over.
airgap_begin() {
	[ "$airgap_mode" = apply ] || return 0
	airgap_waited=0
	# PIPE: whoever listened is gone. No signal may end the script without what EXIT does.
	trap 'exit 143' HUP INT TERM PIPE
	while ! mkdir "$airgap_lock" 2>/dev/null; do
		airgap_pid=$(cat "$airgap_lock/pid" 2>/dev/null || :)
		if [ -n "$airgap_pid" ] && kill -0 "$airgap_pid" 2>/dev/null; then
			[ "$airgap_waited" -gt 0 ] || airgap_say waiting "$airgap_pid"
			[ "$airgap_waited" -lt 900 ] || fail "another run of airgap (process $airgap_pid) has been working on this host for 15 minutes"
		elif [ "$airgap_waited" -gt 0 ]; then
			rm -rf "$airgap_lock"
		fi
		airgap_waited=$((airgap_waited + 1))
		sleep 1
	done
	trap 'rm -rf "$airgap_lock"' EXIT
	echo $$ >"$airgap_lock/pid"
	mkdir -p "$airgap_home"
	airgap_keep_library
}

# A step is undone with the functions of the version that applied it: they are kept beside it.
airgap_keep_library() {
	airgap_kept=$airgap_home/library/$airgap_library.sh
	[ ! -e "$airgap_kept" ] || return 0
	mkdir -p "$airgap_home/library"
	airgap_print_library >"$airgap_kept.new"
	mv -f "$airgap_kept.new" "$airgap_kept"
}
