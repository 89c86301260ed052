# Harbor, from its offline installer. Harbor's own install.sh is not called: it restarts everything each time, does not wait for
# health, and loads nothing where two archives of images are in its folder.
#   FOLDER is called harbor, as compose takes the names of its network from that.
#   DATA is Harbor's data folder. What airgap keeps with the data is in DATA/airgap.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

airgap_harbor_unit=airgap-harbor.service
airgap_harbor_script=/etc/airgap/harbor/harbor.sh
# The fixed names of Harbor's containers.
airgap_harbor_names='harbor-log registry registryctl harbor-db harbor-core harbor-portal harbor-jobservice redis nginx trivy-adapter harbor-exporter'
airgap_harbor_logs=/var/log/harbor
# The user in Harbor's images.
airgap_harbor_uid=10000

# airgap_harbor COMMAND FOLDER: what the unit runs.
airgap_harbor() { sh "$airgap_harbor_script" "$@"; }

# --- what is there ---

# show_harbor DATA: what an installation needs to know beforehand, a word and its values in each line. Changes nothing.
show_harbor() {
	if have docker; then
		airgap_compose=$(docker compose version --short 2>/dev/null) || airgap_compose=$(docker-compose version --short 2>/dev/null) || airgap_compose=
		[ -z "$airgap_compose" ] || echo "compose $airgap_compose"
		for airgap_name in $(airgap_foreign_containers); do echo "container $airgap_name"; done
		airgap_free docker "$(docker info -f '{{.DockerRootDir}}' 2>/dev/null || echo /var/lib/docker)"
	fi
	for airgap_version in $(airgap_databases "$1"); do echo "postgres $airgap_version"; done
	[ -z "$(airgap_databases "$1")" ] || [ -s "$1/airgap/database-password" ] || echo foreign-database
	if [ -e /opt/harbor ] && [ ! -e /opt/harbor/.airgap ] && [ ! -e "$airgap_home/harbor" ]; then echo 'foreign-folder /opt/harbor'; fi
	airgap_free data "$1"
}

# airgap_free WORD FOLDER: KiB, type of file system and mount point of the folder, or of the one that it will be in.
airgap_free() {
	airgap_path=$2
	while [ ! -d "$airgap_path" ]; do
		airgap_path=${airgap_path%/*}
		airgap_path=${airgap_path:-/}
	done
	df -PTk "$airgap_path" | awk -v word="$1" 'NR == 2 { print word, $5, $2, $7 }'
}

# Versions of PostgreSQL whose databases are in DATA.
airgap_databases() {
	for airgap_path in "$1"/database/pg[0-9]*; do
		[ ! -d "$airgap_path" ] || echo "${airgap_path##*/pg}"
	done
}

# Containers that have the names of Harbor's and are not those of this Harbor.
airgap_foreign_containers() {
	docker ps -a --format '{{.Names}} {{.Label "com.docker.compose.project"}}' 2>/dev/null | while read -r airgap_name airgap_project; do
		case " $airgap_harbor_names " in *" $airgap_name "*) ;; *) continue ;; esac
		if [ "$airgap_project" != harbor ] || [ ! -e "$airgap_home/harbor" ]; then echo "$airgap_name"; fi
	done
}

# --- Docker ---

# docker_is_up OLDEST
docker_is_up() {
	systemctl is-enabled --quiet docker 2>/dev/null || fail 'Docker does not start at boot'
	airgap_found=$(docker version -f '{{.Server.Version}}' 2>/dev/null) || fail 'Docker does not run'
	at_least "$airgap_found" "$1" || fail "Docker $airgap_found is too old: this Harbor needs $1"
}

# start_docker
start_docker() {
	systemctl daemon-reload
	systemctl unmask docker 2>/dev/null || :
	systemctl enable docker
	systemctl start docker || airgap_explain docker
	wait_for 60 docker info
}

# compose_is_there OLDEST: `docker compose`, or docker-compose from version OLDEST on.
compose_is_there() {
	if docker compose version >/dev/null 2>&1; then return 0; fi
	have docker-compose || fail 'neither docker compose nor docker-compose is installed: the package docker-compose-plugin or docker-compose is missing in the bundle'
	airgap_found=$(docker-compose version --short 2>/dev/null)
	at_least "$airgap_found" "$1" || fail "docker-compose $airgap_found is too old: this Harbor needs $1"
}

# --- the archive ---

# harbor_is_unpacked FOLDER DIGEST: from the archive with this digest, in FOLDER or beside it for an upgrade, with its images.
harbor_is_unpacked() {
	for airgap_place in "$1" "$1.new"; do
		[ "$(sed -n 1p "$airgap_place/.airgap" 2>/dev/null)" = "$2" ] || continue
		sed 1d "$airgap_place/.airgap" | while read -r airgap_image airgap_id; do
			[ "$(docker image inspect -f '{{.Id}}' "$airgap_image" 2>/dev/null)" = "$airgap_id" ] || fail "$airgap_image is not in Docker, or is another image"
		done || exit 1
		return 0
	done
	fail "Harbor's archive is not unpacked"
}

# harbor_arrived FOLDER DIGEST PATH BYTES: all of the archive is in PATH.part, or it is unpacked.
harbor_arrived() {
	[ "$(stat -c %s "$3.part" 2>/dev/null)" = "$4" ] || harbor_is_unpacked "$1" "$2"
}

# unpack_harbor FOLDER DIGEST PATH NAME BYTES VERSION: into FOLDER.new, never over another version; its images into Docker.
unpack_harbor() {
	receive "$4" "$3" "$5"
	[ "sha256:$(sha256sum <"$3.part")" = "$2  -" ] || {
		rm -f "$3.part"
		fail "$4 was damaged during the transfer; run the same command again to send it again"
	}
	tar -tzf "$3.part" | grep -qvE '^(\./)?harbor/([^/]+)?$' && fail "$4 has files that do not belong to Harbor's installer"
	mkdir -p "$airgap_home/harbor"
	rm -rf "$1.new"
	mkdir -p "$1.new"
	tar -xzf "$3.part" --strip-components=1 --no-same-owner -C "$1.new"
	rm -f "$3.part"
	for airgap_file in prepare harbor.yml.tmpl "harbor.$6.tar.gz"; do
		if [ ! -f "$1.new/$airgap_file" ] || [ -h "$1.new/$airgap_file" ]; then fail "$4 has no harbor/$airgap_file"; fi
	done
	airgap_loaded=$(docker load -i "$1.new/harbor.$6.tar.gz") || fail "Docker cannot load Harbor's images: $airgap_loaded"
	rm -f "$1.new/harbor.$6.tar.gz"
	airgap_images=$(printf '%s\n' "$airgap_loaded" | sed -n 's/^Loaded image: //p')
	printf '%s\n' "$airgap_images" | grep -qxF -e "goharbor/prepare:$6" || fail "$4 has no image goharbor/prepare:$6, but: $airgap_images"
	airgap_arch=$(docker image inspect -f '{{.Architecture}}' "goharbor/prepare:$6")
	[ "$airgap_arch" = "$(docker version -f '{{.Server.Arch}}')" ] || fail "Harbor's images in $4 are for $airgap_arch, which this host is not"
	{
		echo "$2"
		for airgap_image in $airgap_images; do echo "$airgap_image $(docker image inspect -f '{{.Id}}' "$airgap_image")"; done
	} >"$1.new/.airgap.part"
	mv "$1.new/.airgap.part" "$1.new/.airgap"
}

# --- before an upgrade ---

# harbor_is_backed_up DATA VERSION: nothing is upgraded, or there is a copy of what an upgrade changes.
harbor_is_backed_up() {
	airgap_old=$(cat "$airgap_home/harbor/version" 2>/dev/null) || return 0
	[ "$airgap_old" = "$2" ] || [ -d "$1/airgap/backup-$airgap_old" ] || fail "there is no copy of the database of $airgap_old"
}

# back_up_harbor FOLDER DATA: Harbor stops; its database, keys and configuration are copied. The images are not: an upgrade
# does not change them.
back_up_harbor() {
	airgap_old=$(cat "$airgap_home/harbor/version")
	airgap_copy=$2/airgap/backup-$airgap_old
	airgap_needed=$(du -sk "$2/database" | awk '{ print $1 * 3 }')
	airgap_left=$(df -Pk "$2" | awk 'NR == 2 { print $4 }')
	[ "$airgap_left" -gt "$airgap_needed" ] || fail "$2 has $((airgap_left / 1024)) MiB left; the upgrade needs $((airgap_needed / 1024)) MiB: a copy of the database, and room for PostgreSQL to convert it"
	harbor_down "$1"
	close "$2/airgap"
	rm -rf "$airgap_copy.part"
	mkdir "$airgap_copy.part"
	cp -a "$2/database" "$2/secret" "$airgap_copy.part/"
	cp -a "$1/harbor.yml" "$airgap_copy.part/"
	cp -a "$2/airgap/database-password" "$airgap_copy.part/"
	mv "$airgap_copy.part" "$airgap_copy"
}

# --- running it ---

# harbor_down FOLDER: stops it and removes its containers, with the file of compose that made them.
harbor_down() {
	systemctl stop "$airgap_harbor_unit" 2>/dev/null || :
	[ ! -f "$1/docker-compose.yml" ] || airgap_harbor down "$1"
}

# patch_yaml: stdin is harbor.yml.tmpl, stdout the same with the changes of AIRGAP_CHANGES, one a line: PATH=VALUE for a value that
# the template has (`https.port=443`), ?PATH=VALUE for one that older versions lack, -PATH for a key that goes with all below it.
# All that a version of Harbor requires is in its own template.
patch_yaml() {
	awk '
	BEGIN {
		count = split(ENVIRON["AIRGAP_CHANGES"], lines, "\n")
		for (i = 1; i <= count; i++) {
			line = lines[i]
			if (line == "") continue
			if (line ~ /^-/) { path = substr(line, 2); drops[path] = 1; needed[path] = 1; continue }
			may = line ~ /^\?/
			if (may) line = substr(line, 2)
			at = index(line, "=")
			path = substr(line, 1, at - 1)
			values[path] = substr(line, at + 1)
			if (!may) needed[path] = 1
		}
	}
	# Comments, empty lines and entries of lists.
	/^ *(#|$|-)/ { print; next }
	{
		match($0, /^ */)
		indent = RLENGTH
		key = substr($0, indent + 1)
		sub(/:.*/, "", key)
		while (depth > 0 && indents[depth] >= indent) depth--
		path = (depth > 0 ? paths[depth] "." : "") key
		depth++
		indents[depth] = indent
		paths[depth] = path
		gone = 0
		for (i = 1; i <= depth; i++) if (paths[i] in drops) { gone = 1; seen[paths[i]] = 1 }
		if (gone) next
		if (path in values) {
			seen[path] = 1
			print substr($0, 1, indent) key ": " values[path]
			next
		}
		print
	}
	END {
		for (path in needed) if (!(path in seen)) { print "harbor.yml.tmpl has no key " path > "/dev/stderr"; bad = 1 }
		exit bad
	}'
}

# airgap_harbor_yml DATA HOST SCHEME PORT HTTP-PORT TRIVY INITIAL: the changes of harbor.yml.tmpl. Harbor reads data_volume with
# grep and awk: neither quotes nor a comment may be there.
airgap_harbor_yml() {
	printf 'hostname=%s\nhttp.port=%s\ndata_volume=%s\nharbor_admin_password=%s\ndatabase.password=%s\n' "$2" "$5" "$1" "$7" "$(cat "$1/airgap/database-password")"
	if [ "$3" = https ]; then
		printf 'https.port=%s\nhttps.certificate=/etc/airgap/harbor/tls.crt\nhttps.private_key=/etc/airgap/harbor/tls.key\n' "$4"
	else
		echo '-https'
	fi
	[ "$6" = no ] || printf 'trivy.skip_update=true\n?trivy.offline_scan=true\n?trivy.skip_java_db_update=true\n'
}

# airgap_harbor_password DATA: the database's own password. PostgreSQL takes it only when the database is made, so it stays with
# the database.
airgap_harbor_password() {
	close "$1/airgap"
	[ ! -s "$1/airgap/database-password" ] || return 0
	[ -z "$(airgap_databases "$1")" ] || fail "$1/database is a database whose password airgap does not know. Use another folder (registry.harbor.data), or write its password into $1/airgap/database-password"
	(umask 077 && printf 'p%s\n' "$(od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n')" >"$1/airgap/database-password.part")
	mv "$1/airgap/database-password.part" "$1/airgap/database-password"
}

# database_fits DATA VERSIONS: Harbor takes over only these versions of PostgreSQL. With another one it starts with an empty database
# beside the full one, says that it is healthy, and all projects are gone from sight.
database_fits() {
	[ -n "$2" ] || return 0
	for airgap_version in $(airgap_databases "$1"); do
		case " $2 " in
		*" $airgap_version "*) ;;
		*) fail "$1/database/pg$airgap_version is a database of PostgreSQL $airgap_version, and this Harbor takes over only that of $2: it would start with an empty one. Upgrade Harbor in smaller steps" ;;
		esac
	done
}

# harbor_is_healthy FOLDER: every container of its file runs and is healthy.
harbor_is_healthy() {
	airgap_ill=$(airgap_harbor ill "$1" 2>&1) || fail "$airgap_ill"
	[ -z "$airgap_ill" ] || fail "not healthy: $airgap_ill"
}

# harbor_runs FOLDER STAMP: with this configuration, now and after a reboot.
harbor_runs() {
	is_noted harbor/stamp "$2" || fail 'Harbor does not run with this configuration'
	systemctl is-enabled --quiet "$airgap_harbor_unit" || fail "$airgap_harbor_unit does not start at boot"
	systemctl is-active --quiet "$airgap_harbor_unit" || fail "$airgap_harbor_unit does not run"
	harbor_is_healthy "$1"
}

# run_harbor FOLDER STAMP VERSION DATABASES DATA HOST SCHEME PORT HTTP-PORT TRIVY: stdin is the password with which a new Harbor
# starts. TRIVY is yes or no. With an unchanged configuration it starts what does not run; all containers are made again only
# if that does not help, because Harbor's prepare makes new internal passwords for all of them.
run_harbor() {
	airgap_initial=$(cat)
	if is_noted harbor/stamp "$2" && [ -f "$1/docker-compose.yml" ]; then
		airgap_start_harbor
		if wait_for 180 harbor_is_healthy "$1"; then return 0; fi
	fi
	airgap_foreign=$(airgap_foreign_containers)
	[ -z "$airgap_foreign" ] || fail "containers that are not of this Harbor have the names of Harbor's: $airgap_foreign"
	# An upgrade that was begun is not at its old state any more.
	drop_note harbor/stamp
	harbor_down "$1"
	if [ -f "$1.new/.airgap" ]; then
		[ ! -f "$1/.airgap" ] || cp "$1/.airgap" "$airgap_home/harbor/images-before"
		rm -rf "$1"
		mv "$1.new" "$1"
	fi
	database_fits "$5" "$4"
	mkdir -p "$5"
	airgap_harbor_password "$5"
	note harbor/data "$5"
	AIRGAP_CHANGES=$(airgap_harbor_yml "$5" "$6" "$7" "$8" "$9" "${10}" "$airgap_initial")
	export AIRGAP_CHANGES
	(umask 077 && patch_yaml <"$1/harbor.yml.tmpl" >"$1/harbor.yml.part")
	unset AIRGAP_CHANGES
	mv "$1/harbor.yml.part" "$1/harbor.yml"
	airgap_prepare_harbor "$1" "${10}"
	airgap_start_harbor
	wait_for 600 harbor_is_healthy "$1" || airgap_explain_harbor "$1"
	airgap_drop_images "$1"
	note harbor/version "$3"
	note harbor/stamp "$2"
}

# airgap_drop_images FOLDER: images of the version before.
airgap_drop_images() {
	[ -f "$airgap_home/harbor/images-before" ] || return 0
	sed 1d "$airgap_home/harbor/images-before" | while read -r airgap_image airgap_id; do
		grep -qF -e "$airgap_id" "$1/.airgap" || docker image rm "$airgap_image" >/dev/null 2>&1 || :
	done
	rm -f "$airgap_home/harbor/images-before"
}

# airgap_prepare_harbor FOLDER TRIVY: Harbor's own prepare writes docker-compose.yml and all configuration.
airgap_prepare_harbor() {
	if [ "$2" = yes ]; then set -- "$1" --with-trivy; else set -- "$1"; fi
	airgap_folder=$1
	shift
	rm -f "$airgap_folder/docker-compose.yml"
	chmod 755 "$airgap_folder/prepare"
	airgap_said=$(cd "$airgap_folder" && env -u HARBOR_BUNDLE_DIR TERM=dumb ./prepare "$@" </dev/null 2>&1) || fail "Harbor's prepare failed: $airgap_said"
	[ -s "$airgap_folder/docker-compose.yml" ] || fail "Harbor's prepare made no docker-compose.yml: $airgap_said"
	for airgap_image in $(airgap_harbor images "$airgap_folder"); do
		# Otherwise compose would look for it on the internet.
		docker image inspect "$airgap_image" >/dev/null 2>&1 || fail "$airgap_image is not in Harbor's archive"
	done
}

airgap_start_harbor() {
	systemctl daemon-reload
	systemctl unmask "$airgap_harbor_unit" 2>/dev/null || :
	systemctl enable "$airgap_harbor_unit"
	systemctl start "$airgap_harbor_unit" || airgap_explain "$airgap_harbor_unit"
}

# What those that are not healthy say last. The log of core holds no passwords.
airgap_explain_harbor() {
	airgap_ill=$(airgap_harbor ill "$1")
	for airgap_name in $(printf '%s\n' "$airgap_ill" | awk '{ print $1 }'); do
		echo "--- $airgap_name"
		tail -n 8 "$airgap_harbor_logs/$(airgap_harbor_log "$airgap_name").log" 2>/dev/null || docker logs --tail 8 "$airgap_name" 2>&1 || :
	done
	fail "Harbor does not become healthy: $airgap_ill"
}
airgap_harbor_log() {
	case $1 in
	harbor-db) echo postgresql ;;
	nginx) echo proxy ;;
	trivy-adapter) echo trivy-adapter ;;
	*) echo "${1#harbor-}" ;;
	esac
}

# reload_harbor: after its unit or its script has changed. The unit may not be there yet.
reload_harbor() {
	systemctl daemon-reload
	! systemctl is-active --quiet "$airgap_harbor_unit" || systemctl restart "$airgap_harbor_unit"
}

# --- certificate, scanner ---

# harbor_has_certificate DATA STAMP [CA]: nginx has loaded this certificate, and CA is offered for download in the portal.
harbor_has_certificate() {
	cmp -s /etc/airgap/harbor/tls.crt "$1/secret/cert/server.crt" || fail 'Harbor has another certificate'
	[ $# -lt 3 ] || cmp -s "$3" "$1/ca_download/ca.crt" || fail "the authority's certificate is not in the portal"
	is_noted harbor/certificate "$2"
}

# give_harbor_certificate DATA STAMP [CA]: without stopping anything.
give_harbor_certificate() {
	for airgap_part in crt key; do
		install -m 600 -o "$airgap_harbor_uid" -g "$airgap_harbor_uid" "/etc/airgap/harbor/tls.$airgap_part" "$1/secret/cert/server.$airgap_part"
	done
	if [ $# -ge 3 ]; then
		mkdir -p "$1/ca_download"
		install -m 644 -o "$airgap_harbor_uid" -g "$airgap_harbor_uid" "$3" "$1/ca_download/ca.crt"
	fi
	docker exec nginx nginx -s reload
	note harbor/certificate "$2"
}

# trivy_has_database DATA DIGEST
trivy_has_database() {
	is_noted harbor/trivy-db "$2" || fail 'Trivy does not have this database'
	[ -s "$1/trivy-adapter/trivy/db/trivy.db" ] || fail "Trivy's database is gone"
}

# give_trivy_database DATA DIGEST PATH NAME BYTES
give_trivy_database() {
	receive "$4" "$3" "$5"
	[ "sha256:$(sha256sum <"$3.part")" = "$2  -" ] || {
		rm -f "$3.part"
		fail "$4 was damaged during the transfer; run the same command again to send it again"
	}
	airgap_to=$1/trivy-adapter/trivy/db
	rm -rf "$airgap_to.part"
	mkdir -p "$airgap_to.part"
	tar -xzf "$3.part" --no-same-owner -C "$airgap_to.part"
	rm -f "$3.part"
	for airgap_file in trivy.db metadata.json; do [ -s "$airgap_to.part/$airgap_file" ] || fail "$4 has no $airgap_file"; done
	chown -R "$airgap_harbor_uid:$airgap_harbor_uid" "$airgap_to.part"
	rm -rf "$airgap_to"
	mv "$airgap_to.part" "$airgap_to"
	note harbor/trivy-db "$2"
}

# --- what it holds: asked and told with airgap's own command on the host that has the bundle ---

# harbor_answers TOOL TARGET FLAG...
harbor_answers() {
	airgap_tool=$1
	shift
	"$airgap_tool/bin/airgap" harbor health "$@"
}

# harbor_has TOOL TARGET FLAG...: projects, users and roles; stdin says which.
harbor_has() {
	airgap_tool=$1
	shift
	"$airgap_tool/bin/airgap" harbor configure --check "$@"
}

# harbor_gets TOOL TARGET FLAG...
harbor_gets() {
	airgap_tool=$1
	shift
	"$airgap_tool/bin/airgap" harbor configure "$@"
}

# harbor_projects_are_noted: before an upgrade.
harbor_projects_are_noted() { [ -e "$airgap_home/harbor-projects" ]; }

# note_harbor_projects TOOL TARGET FLAG...: stdin is the login.
note_harbor_projects() {
	airgap_tool=$1
	shift
	"$airgap_tool/bin/airgap" harbor projects --login "$@" >"$airgap_home/harbor-projects.part"
	mv "$airgap_home/harbor-projects.part" "$airgap_home/harbor-projects"
}

# harbor_projects_are_checked: after an upgrade.
harbor_projects_are_checked() { [ ! -e "$airgap_home/harbor-projects" ] || fail 'not yet'; }

# check_harbor_projects TOOL TARGET FLAG...: stdin is the login.
check_harbor_projects() {
	airgap_tool=$1
	shift
	airgap_now=$("$airgap_tool/bin/airgap" harbor projects --login "$@")
	airgap_lost=$(while read -r airgap_name; do printf '%s\n' "$airgap_now" | grep -qxF -e "$airgap_name" || echo "$airgap_name"; done <"$airgap_home/harbor-projects")
	[ -z "$airgap_lost" ] || fail "after the upgrade Harbor does not have these projects: $airgap_lost. The copy of its database from before is in the folder airgap of its data; docs/harbor.md says how to go back"
	rm -f "$airgap_home/harbor-projects"
}

# --- removing it ---

# stop_harbor FOLDER
stop_harbor() {
	systemctl disable "$airgap_harbor_unit" 2>/dev/null || :
	harbor_down "$1"
}

# remove_harbor FOLDER DATA: with its images and its folder. Its data stay, unless keep_no_harbor_data was called.
remove_harbor() {
	if have docker && docker info >/dev/null 2>&1; then
		for airgap_place in "$1" "$1.new"; do
			[ -f "$airgap_place/.airgap" ] || continue
			# shellcheck disable=SC2046
			docker image rm $(sed 1d "$airgap_place/.airgap" | awk '{ print $1 }') || :
		done
	fi
	rm -rf "$1" "$1.new"
	if [ -e "$airgap_home/harbor-data-goes" ]; then
		for airgap_name in registry database redis job_logs secret ca_download trivy-adapter chart_storage airgap; do rm -rf "${2:?}/$airgap_name"; done
		rmdir "$2" 2>/dev/null || :
		rm -rf "$airgap_harbor_logs"
	else
		echo "Harbor's images, database and keys stay in $2"
	fi
	rm -rf "$airgap_home/harbor"
}

# keep_no_harbor_data: the next reset of this host removes the data too.
keep_no_harbor_data() {
	mkdir -p "$airgap_home"
	: >"$airgap_home/harbor-data-goes"
}
