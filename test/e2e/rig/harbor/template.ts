/** A harbor.yml.tmpl with the keys that Harbor 2.13 to 2.15 requires, and with comments where the real one has them. */
export const TEMPLATE = `# Harbor's configuration

# The name that clients use. Neither localhost nor 127.0.0.1.
hostname: reg.mydomain.com

# http related config
http:
  # port for http, default is 80. If https is on, it redirects
  port: 80

# https related config
https:
  # https port, default is 443
  port: 443
  # The certificate and the key of nginx
  certificate: /your/certificate/path
  private_key: /your/private/key/path
  # strong ciphers only
  # strong_ssl_ciphers: false

# # internal TLS
# internal_tls:
#   enabled: true

# Uncomment external_url if you want to enable external proxy
# external_url: https://reg.mydomain.com:8433

# The first password of the administrator; it works the first time only
harbor_admin_password: Harbor12345

# Harbor DB configuration
database:
  # The password of the user postgres
  password: root123
  max_idle_conns: 100
  max_open_conns: 900
  conn_max_lifetime: 5m
  conn_max_idle_time: 0

# The default data volume
data_volume: /data

# storage_service:
#   redirect:
#     disable: false

trivy:
  # only fixed vulnerabilities
  ignore_unfixed: false
  skip_update: false
  skip_java_db_update: false
  offline_scan: false
  security_check: vuln
  insecure: false
  timeout: 5m0s

jobservice:
  # workers in the job service
  max_job_workers: 10
  max_job_duration_hours: 24
  # "DATABASE" and "FILE" are others
  job_loggers:
    - STD_OUTPUT
    - FILE
    # - DB
  logger_sweeper_duration: 1 #days

notification:
  webhook_job_max_retry: 3
  webhook_job_http_client_timeout: 3 #seconds

log:
  # debug, info, warning, error, fatal
  level: info
  local:
    rotate_count: 50
    rotate_size: 200M
    location: /var/log/harbor

_version: 2.13.0

# external_database:
#   harbor:
#     host: harbor_db_host
#     port: 5432

proxy:
  http_proxy:
  https_proxy:
  no_proxy:
  components:
    - core
    - jobservice
    - trivy

upload_purging:
  enabled: true
  age: 168h
  interval: 24h
  dryrun: false

cache:
  enabled: false
  expire_hours: 24
`;

/** The host's part of prepare, as Harbor's: what it takes out of harbor.yml, and what it mounts. */
export const prepareScript = (version: string): string => `#!/bin/bash
set -e
here=$(cd "$(dirname "$0")" && pwd -P)
input=$here/input
rm -rf "$input"
mkdir -p "$input"
if [[ "$1" == *.yml ]]; then cp "$1" "$input/harbor.yml"; shift; else cp "$here/harbor.yml" "$input/harbor.yml"; fi
data_path=$(grep '^[^#]*data_volume:' "$input/harbor.yml" | awk '{print $NF}')
docker run --rm -v "$input":/input -v "$data_path":/data -v "$here":/compose_location -v "$here/common/config":/config -v /:/hostfs --privileged goharbor/prepare:${version} prepare "$@"
echo "Clean up the input dir"
rm -rf "$input"
`;

/** Harbor's install.sh, which airgap does not call. */
export const INSTALL = "#!/bin/bash\necho 'airgap does not call this' >&2\nexit 1\n";
