/** What an operator pulls although no file of its installation names it. */
export interface Operator {
  name: string;
  /** `group/Kind` of its custom resources; a `*` for every kind of the group. */
  resources: string[];
  /** Repository of its own image: its tag is the operator's version. */
  image?: string;
  /** Fields of a resource that name the image; when one is set, nothing is missing. */
  unless?: string[];
  /** Known images, by the operator's version. */
  known?: { version: string; images: string[]; source: string }[];
  /** Field of a resource with the version that it runs, and the image made from it; `{a.b}` is another field. */
  versioned?: { kind: string; field: string; image: string }[];
  /** Images with the registry and tag of the operator's own image. */
  siblings?: string[];
  /** Images that it runs besides those of its resources, for any version. */
  helpers?: string[];
  /** The command that lists the images; `{image}` is the operator's own. */
  command?: string;
  /** Advice for the user. */
  advice?: string;
}

const CALICO = (version: string, names: string): string[] =>
  names.split(" ").map((name) => `quay.io/calico/${name}:${version}`);

/** Sidecars of CSI drivers: `csi-attacher:v4.11.0 …` */
const SIDECARS = (names: string): string[] =>
  names.split(" ").map((name) => `registry.k8s.io/sig-storage/${name}`);

/**
 * Operators whose images are compiled in. Add a row with its source; docs/images.md explains how.
 * Sources: tigera/operator pkg/components; elastic/cloud-on-k8s pkg/controller/common/container;
 * prometheus-operator pkg/operator/defaults.go; kubevirt pkg/virt-operator/util/config.go;
 * pingcap/tidb-operator pkg/image/image.go; scylla-operator pkg/api/scylla/v1; mysql-operator's
 * mysqloperator/controller/config.py; the
 * others' documentation of their custom resources.
 */
export const OPERATORS: readonly Operator[] = [
  {
    name: "tigera-operator",
    resources: ["operator.tigera.io/*"],
    image: "tigera/operator",
    unless: ["spec.registry", "spec.imagePath", "spec.imagePrefix"],
    known: [
      {
        version: "v1.42.3",
        images: CALICO(
          "v3.32.1",
          "apiserver cni csi goldmane kube-controllers node node-driver-registrar pod2daemon-flexvol typha whisker whisker-backend",
        ),
        source: "tigera/operator v1.42.3 pkg/components/calico.go",
      },
    ],
    command: "docker run --rm {image} --print-images=list",
  },
  {
    name: "Elastic Cloud on Kubernetes",
    resources: [
      "elasticsearch.k8s.elastic.co/*",
      "kibana.k8s.elastic.co/*",
      "apm.k8s.elastic.co/*",
      "agent.k8s.elastic.co/*",
      "logstash.k8s.elastic.co/*",
      "enterprisesearch.k8s.elastic.co/*",
      "beat.k8s.elastic.co/*",
      "maps.k8s.elastic.co/*",
    ],
    unless: ["spec.image"],
    versioned: [
      {
        kind: "Elasticsearch",
        field: "spec.version",
        image: "docker.elastic.co/elasticsearch/elasticsearch",
      },
      { kind: "Kibana", field: "spec.version", image: "docker.elastic.co/kibana/kibana" },
      { kind: "ApmServer", field: "spec.version", image: "docker.elastic.co/apm/apm-server" },
      { kind: "Logstash", field: "spec.version", image: "docker.elastic.co/logstash/logstash" },
      {
        kind: "EnterpriseSearch",
        field: "spec.version",
        image: "docker.elastic.co/enterprise-search/enterprise-search",
      },
      { kind: "Beat", field: "spec.version", image: "docker.elastic.co/beats/{spec.type}" },
      { kind: "Agent", field: "spec.version", image: "docker.elastic.co/beats/elastic-agent" },
      {
        kind: "ElasticMapsServer",
        field: "spec.version",
        image: "docker.elastic.co/elastic-maps-service/elastic-maps-server",
      },
    ],
    advice: "name the image in spec.image, or list it under addImages",
  },
  {
    name: "prometheus-operator",
    resources: [
      "monitoring.coreos.com/Prometheus",
      "monitoring.coreos.com/PrometheusAgent",
      "monitoring.coreos.com/Alertmanager",
      "monitoring.coreos.com/ThanosRuler",
    ],
    unless: ["spec.image", "spec.baseImage"],
    versioned: [
      { kind: "Prometheus", field: "spec.version", image: "quay.io/prometheus/prometheus" },
      { kind: "PrometheusAgent", field: "spec.version", image: "quay.io/prometheus/prometheus" },
      { kind: "Alertmanager", field: "spec.version", image: "quay.io/prometheus/alertmanager" },
      { kind: "ThanosRuler", field: "spec.version", image: "quay.io/thanos/thanos" },
    ],
    advice: "name the image in spec.image, or list it under addImages",
  },
  {
    name: "kubevirt",
    resources: ["kubevirt.io/KubeVirt"],
    image: "kubevirt/virt-operator",
    siblings: ["virt-api", "virt-controller", "virt-handler", "virt-launcher"],
    advice: "add images that features need, such as virt-exportserver or libguestfs-tools, under addImages",
  },
  {
    name: "TiDB Operator 2",
    resources: [
      "core.pingcap.com/PDGroup",
      "core.pingcap.com/TiKVGroup",
      "core.pingcap.com/TiDBGroup",
      "core.pingcap.com/TiFlashGroup",
      "core.pingcap.com/TiCDCGroup",
      "core.pingcap.com/TiProxyGroup",
      "core.pingcap.com/TSOGroup",
      "core.pingcap.com/SchedulerGroup",
      "core.pingcap.com/SchedulingGroup",
    ],
    image: "pingcap/tidb-operator",
    unless: ["spec.template.spec.image"],
    siblings: ["tidb-operator-prestop-checker"],
    helpers: ["busybox:1.37.0"],
    versioned: [
      ["PDGroup", "pd"],
      ["TiKVGroup", "tikv"],
      ["TiDBGroup", "tidb"],
      ["TiFlashGroup", "tiflash"],
      ["TiCDCGroup", "ticdc"],
      ["TiProxyGroup", "tiproxy"],
      ["TSOGroup", "pd"],
      ["SchedulerGroup", "pd"],
      ["SchedulingGroup", "pd"],
    ].map(([kind = "", name]) => ({ kind, field: "spec.template.spec.version", image: `pingcap/${name}` })),
    advice: "name the image in spec.template.spec.image, or list it under addImages",
  },
  {
    name: "Trident",
    resources: ["trident.netapp.io/TridentOrchestrator"],
    image: "netapp/trident-operator",
    known: [
      [
        "26.02.1",
        "26.02",
        "csi-provisioner:v6.2.0 csi-attacher:v4.11.0 csi-resizer:v2.1.0 csi-snapshotter:v8.5.0 csi-node-driver-registrar:v2.16.0 livenessprobe:v2.18.0",
      ],
      [
        "26.06.0",
        "26.06",
        "csi-provisioner:v6.3.0 csi-attacher:v4.11.0 csi-resizer:v2.1.0 csi-snapshotter:v8.6.0 csi-node-driver-registrar:v2.17.0 livenessprobe:v2.19.0",
      ],
    ].map(([version = "", support, sidecars = ""]) => ({
      version,
      images: [
        `docker.io/netapp/trident:${version}`,
        `docker.io/netapp/trident-autosupport:${support}`,
        ...SIDECARS(sidecars),
      ],
      source: `NetApp/trident v${version} config/config.go`,
    })),
    advice: "list trident, trident-autosupport and the CSI sidecars of its config/config.go under addImages",
  },
  {
    name: "MinIO Operator",
    resources: ["minio.min.io/Tenant"],
    image: "minio/operator",
    siblings: ["operator-sidecar"],
    known: [
      {
        version: "v7.1.1",
        images: ["docker.io/minio/minio:RELEASE.2025-04-08T15-41-24Z"],
        source: "minio/operator v7.1.1 pkg/apis/minio.min.io/v2/constants.go",
      },
    ],
    advice:
      "name the image in spec.image, and list operator-sidecar at the operator's version under addImages",
  },
  {
    name: "scylla-operator",
    resources: ["scylla.scylladb.com/ScyllaCluster"],
    unless: ["spec.repository"],
    versioned: [
      { kind: "ScyllaCluster", field: "spec.version", image: "docker.io/scylladb/scylla" },
      { kind: "ScyllaCluster", field: "spec.agentVersion", image: "docker.io/scylladb/scylla-manager-agent" },
    ],
    advice: "list the server's and the agent's image under addImages",
  },
  {
    name: "MySQL Operator",
    resources: ["mysql.oracle.com/InnoDBCluster"],
    unless: ["spec.imageRepository"],
    versioned: [
      {
        kind: "InnoDBCluster",
        field: "spec.version",
        image: "container-registry.oracle.com/mysql/community-server",
      },
      {
        kind: "InnoDBCluster",
        field: "spec.version",
        image: "container-registry.oracle.com/mysql/community-router",
      },
    ],
    advice: "name the version in spec.version, or list server and router under addImages",
  },
  {
    name: "Operator Lifecycle Manager",
    resources: ["operators.coreos.com/Subscription"],
    advice:
      "list the images of the operator's bundle (relatedImages of its ClusterServiceVersion) under addImages",
  },
  {
    name: "Crossplane",
    resources: [
      "pkg.crossplane.io/Provider",
      "pkg.crossplane.io/Function",
      "pkg.crossplane.io/Configuration",
    ],
    advice: "list the controller's image of each package under addImages",
  },
  {
    name: "rook",
    resources: ["ceph.rook.io/CephCluster"],
    image: "rook/ceph",
    known: ["v1.20.5", "v1.20.6"].map((version) => ({
      version,
      images: [
        "quay.io/cephcsi/ceph-csi-operator:v1.0.4",
        "quay.io/cephcsi/cephcsi:v3.17.0",
        "quay.io/csiaddons/k8s-sidecar:v0.14.0",
        ...SIDECARS(
          "csi-attacher:v4.12.0 csi-node-driver-registrar:v2.17.0 csi-provisioner:v6.2.0 csi-resizer:v2.1.0 csi-snapshotter:v8.5.0",
        ),
      ],
      source: `rook ${version} deploy/examples/images.txt`,
    })),
    advice: "its CSI images are in deploy/examples/images.txt of the release: list them under addImages",
  },
  {
    name: "istio",
    resources: ["install.istio.io/IstioOperator", "sailoperator.io/*"],
    unless: ["spec.hub"],
    advice: "list what `istioctl manifest generate` names under addImages, or use the charts",
  },
  {
    name: "knative-operator",
    resources: ["operator.knative.dev/*"],
    advice: "use the manifests of the release, or list their images under addImages",
  },
  {
    name: "tekton-operator",
    resources: ["operator.tekton.dev/*"],
    advice: "use the manifests of the release, or list their images under addImages",
  },
  {
    name: "grafana-operator",
    resources: ["grafana.integreatly.org/Grafana"],
    unless: ["spec.version", "spec.deployment.spec.template.spec.containers"],
    advice: "name the image in spec.version, or list it under addImages",
  },
  {
    name: "jaeger-operator",
    resources: ["jaegertracing.io/Jaeger"],
    unless: ["spec.allInOne.image", "spec.collector.image"],
    advice: "name the images, or list them under addImages",
  },
  {
    name: "opentelemetry-operator",
    resources: ["opentelemetry.io/OpenTelemetryCollector"],
    unless: ["spec.image"],
    advice: "name the image in spec.image, or list it under addImages",
  },
  {
    name: "CloudNativePG",
    resources: ["postgresql.cnpg.io/Cluster"],
    image: "cloudnative-pg/cloudnative-pg",
    unless: ["spec.imageName", "spec.imageCatalogRef"],
    known: [
      ["1.28.1", "18.1"],
      ["1.29.1", "18.3"],
      ["1.29.2", "18.4"],
      ["1.30.0", "18.4"],
    ].map(([version = "", server]) => ({
      version,
      images: [`ghcr.io/cloudnative-pg/postgresql:${server}-system-trixie`],
      source: `cloudnative-pg v${version} pkg/versions/versions.go`,
    })),
    advice: "name the image in spec.imageName, or list it under addImages",
  },
  {
    name: "rabbitmq-cluster-operator",
    resources: ["rabbitmq.com/RabbitmqCluster"],
    unless: ["spec.image"],
    advice: "name the image in spec.image, or list it under addImages",
  },
  {
    name: "victoria-metrics-operator",
    resources: [
      "operator.victoriametrics.com/VMSingle",
      "operator.victoriametrics.com/VMCluster",
      "operator.victoriametrics.com/VMAgent",
      "operator.victoriametrics.com/VMAlert",
      "operator.victoriametrics.com/VMAlertmanager",
      "operator.victoriametrics.com/VMAuth",
    ],
    unless: ["spec.image", "spec.vmstorage.image"],
    advice: "name the images, or list them under addImages",
  },
  {
    name: "mongodb-kubernetes-operator",
    resources: ["mongodbcommunity.mongodb.com/MongoDBCommunity"],
    advice: "list the server's and the agent's image under addImages",
  },
  {
    name: "Flux",
    resources: ["helm.toolkit.fluxcd.io/HelmRelease"],
    advice: "list the chart under charts: with the same values",
  },
  {
    name: "k3s and RKE2",
    resources: ["helm.cattle.io/HelmChart"],
    advice: "list the chart under charts: with the same values",
  },
  {
    name: "Argo CD",
    resources: ["argoproj.io/Application", "argoproj.io/ApplicationSet"],
    advice: "list what it deploys under manifests: or charts:",
  },
];
