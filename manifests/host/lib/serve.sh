# The host that serves the bundle: the server's user, the bundle, airgap itself, and whether the server answers.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# server_user_exists USER FOLDER: USER is not root, and nobody else can enter FOLDER.
server_user_exists() {
	case $(getent passwd "$1" | cut -d: -f3) in '' | 0) fail "the user $1 does not exist" ;; esac
	closed "$2" "$1"
}

# make_server_user USER FOLDER: makes it with a group of the same name.
make_server_user() {
	if ! getent group "$1" >/dev/null; then
		echo group >>"$airgap_home/$1-user"
		groupadd --system "$1"
	fi
	if ! getent passwd "$1" >/dev/null; then
		echo user >>"$airgap_home/$1-user"
		useradd --system --gid "$1" --no-create-home --home-dir /nonexistent --shell "$(command -v nologin || echo /bin/false)" "$1"
	fi
	close "$2" "$1"
}

# remove_server_user USER UNIT: if airgap made it. UNIT is stopped first: if an earlier version of airgap made UNIT, it
# still runs when this is undone.
remove_server_user() {
	[ -e "$airgap_home/$1-user" ] || return 0
	disable_services "$2"
	! grep -qx user "$airgap_home/$1-user" || ! getent passwd "$1" >/dev/null || userdel "$1"
	! grep -qx group "$airgap_home/$1-user" || ! getent group "$1" >/dev/null || groupdel "$1"
	rm -f "$airgap_home/$1-user"
}

# arrived PATH BYTES RESULT: all of it is in PATH.part, or RESULT, which is made from it, exists.
arrived() { [ -e "$3" ] || [ "$(stat -c %s "$1.part" 2>/dev/null)" = "$2" ] || fail "it is not on the host"; }

# receive NAME PATH BYTES: takes the file that airgap sent to PATH.part, or that is beside a script as NAME.
receive() {
	from_beside "$1" "$2.part"
	[ "$(stat -c %s "$2.part" 2>/dev/null)" = "$3" ] || fail "$1 is not complete: it must have $3 bytes"
}

# install_tool FOLDER NAME DIGEST FILE OFFSET BYTES: airgap itself, from a stretch of FILE, or of FILE.part.
install_tool() {
	airgap_file=$4
	[ -f "$airgap_file" ] || airgap_file=$4.part
	airgap_from=$(($5 + 1))
	airgap_size=$6
	[ "sha256:$(airgap_stretch | sha256sum)" = "$3  -" ] || fail "$2 is damaged"
	rm -rf "$1.new"
	mkdir -p "$1.new"
	airgap_stretch | gzip -dc | tar -xf - --strip-components=1 --no-same-owner -C "$1.new"
	if have restorecon; then restorecon -R "$1.new" || :; fi
	"$1.new/bin/airgap" --version
	rm -rf "$1"
	mv "$1.new" "$1"
}
airgap_stretch() { tail -c "+$airgap_from" "$airgap_file" | head -c "$airgap_size"; }

# airgap_signed BUNDLE FILE: puts the signatures of BUNDLE beside FILE, which will be BUNDLE.
airgap_signed() {
	for airgap_file in "$1".sigstore.json "$1".*.sigstore.json; do
		case $airgap_file in "$1".part.* | "$1".delta.*) continue ;; esac
		[ ! -f "$airgap_file" ] || cp "$airgap_file" "$2${airgap_file#"$1"}"
	done
}

# merge_bundle TOOL BUNDLE: makes BUNDLE.part of BUNDLE.delta.part and the bundles that are here already.
merge_bundle() {
	airgap_tool=$1
	airgap_bundle=$2
	airgap_signed "$2" "$2.delta.part"
	set --
	for airgap_file in "${airgap_bundle%/*}"/*.tar; do
		[ ! -f "$airgap_file" ] || set -- "$@" "$airgap_file"
	done
	[ $# -gt 0 ] || fail "the bundle is a delta, and the host has no bundle that it could count on"
	"$airgap_tool/bin/airgap" merge --quiet "$@" "$airgap_bundle.delta.part" -o "$airgap_bundle.part" >&2
	rm -f "$airgap_bundle.delta.part" "$airgap_bundle".delta.part.sigstore.json "$airgap_bundle".delta.part.*.sigstore.json
}

# verify_bundle TOOL BUNDLE: only a verified bundle gets its name. Any other is removed, so that it is sent
# again. The host's own policy says whose signatures it must have; they lie beside BUNDLE.
verify_bundle() {
	airgap_signed "$2" "$2.part"
	airgap_status=0
	"$1/bin/airgap" verify --quiet "$2.part" || airgap_status=$?
	rm -f "$2".part.sigstore.json "$2".part.*.sigstore.json
	[ "$airgap_status" = 0 ] || {
		rm -f "$2.part"
		fail "the bundle was damaged during the transfer, or its signatures do not count on this host; run the same command again to send it again"
	}
	mv "$2.part" "$2"
}

# group_reads GROUP FILE: nobody else except root can read it.
group_reads() { [ "$(stat -c '%a %G' "$2")" = "640 $1" ] || fail "others read $2, or $1 does not"; }

# let_group_read GROUP FOLDER: lets the group read every file in it.
let_group_read() {
	for airgap_file in "$2"/*; do
		chgrp "$1" "$airgap_file"
		chmod 640 "$airgap_file"
	done
}

# show_bundles FOLDER FILE: every bundle of the host that serves: a line with path, bytes, and whether the unit in FILE
# serves it, as the first or beside it; then what airgap lists of it, as JSON, or why that failed.
show_bundles() {
	airgap_started=$(sed -n 's/^ExecStart=//p' "$2" 2>/dev/null) || :
	for airgap_file in "$1"/*.tar; do
		[ -f "$airgap_file" ] || continue
		case " $airgap_started " in
		*" serve $airgap_file "*) airgap_is=served ;;
		*" $airgap_file "*) airgap_is=beside ;;
		*) airgap_is=former ;;
		esac
		printf '=== %s %s %s\n' "$airgap_file" "$(stat -c %s "$airgap_file")" "$airgap_is"
		"${airgap_started%% *}" list "$airgap_file" --json </dev/null 2>/dev/null || :
	done
}

# forget_bundle PATH UNIT FILE: removes a bundle with its signatures. The unit in FILE no longer serves it beside the
# first one; that one is never removed.
forget_bundle() {
	! grep -q "^ExecStart=.* serve $1 " "$3" 2>/dev/null || fail "$1 is the bundle that is served"
	if grep -qF -- " --fallback $1" "$3" 2>/dev/null; then
		sed "s# --fallback $1##" "$3" >"$3.new"
		cat "$3.new" >"$3"
		rm -f "$3.new"
		systemctl daemon-reload
		systemctl restart "$2"
	fi
	rm -f "$1" "$1".sigstore.json "$1".*.sigstore.json
}

# server_answers TOOL PORT NAME [CA]: asks it as a client would, by name, and trusts only CA; without CA by http.
# The Node in TOOL is started as bin/airgap starts it: one of its libraries is beside it.
server_answers() {
	[ -x "$1/node/bin/node" ] || fail "the server is not installed"
	env LD_LIBRARY_PATH="$1/node/lib" "$1/node/bin/node" -e '
		const [port, servername, ca] = process.argv.slice(1);
		const end = (text) => {
			if (text) console.log(text);
			process.exit(text ? 1 : 0);
		};
		const trusted = ca ? { ca: require("fs").readFileSync(ca) } : {};
		require(ca ? "https" : "http")
			.get({ host: "127.0.0.1", port, path: "/healthz", servername, ...trusted }, ({ statusCode }) =>
				end(statusCode === 200 ? "" : "the server answers " + statusCode),
			)
			.on("error", (error) => end(error.message || error.code));' "$2" "$3" ${4:+"$4"}
}
