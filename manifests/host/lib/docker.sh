# Docker, and cri-dockerd, through which kubelet reaches Docker.
# shellcheck disable=SC2154  # airgap_home is set in steps.sh

# docker_has_images IMAGE...
docker_has_images() {
	for airgap_image in "$@"; do
		docker image inspect "$airgap_image" >/dev/null 2>&1 || fail "$airgap_image is not on the host"
	done
}

# docker_pull LOGIN IMAGE...: LOGIN is a folder with Docker's config.json.
docker_pull() {
	airgap_login=$1
	shift
	for airgap_image in "$@"; do
		echo "$airgap_image"
		docker --config "$airgap_login" pull "$airgap_image" >/dev/null || return 1
	done
}

# cri_dockerd_is_installed DIGEST: it came from the archive with this digest.
cri_dockerd_is_installed() { is_noted stamps/cri-dockerd "$1" && [ -x /usr/local/bin/cri-dockerd ]; }

# install_cri_dockerd NAME PATH DIGEST: from the archive that was sent to PATH.part, or that is beside a script as NAME.
install_cri_dockerd() {
	unpack_carried "$@"
	airgap_program=$(find "$airgap_folder" -type f -name cri-dockerd | head -n 1)
	[ -n "$airgap_program" ] || fail "$1 does not contain cri-dockerd"
	install -m 755 "$airgap_program" /usr/local/bin/cri-dockerd
	relabel /usr/local/bin/cri-dockerd
	rm -f "$2.part"
	note stamps/cri-dockerd "$3"
}
