/**
 * Custom resources that are known not to pull images of their own: they configure, route,
 * watch, judge or schedule, or they embed pods, which name their images. `group/*` is every kind.
 * Sources: the API references of the projects.
 */
export const NO_IMAGES: readonly string[] = `
acme.cert-manager.io/* airgap/* cert-manager.io/* trust.cert-manager.io/*
argoproj.io/AppProject argoproj.io/Rollout argoproj.io/AnalysisTemplate argoproj.io/ClusterAnalysisTemplate argoproj.io/Experiment
argoproj.io/Workflow argoproj.io/WorkflowTemplate argoproj.io/ClusterWorkflowTemplate argoproj.io/CronWorkflow argoproj.io/WorkflowEventBinding argoproj.io/Sensor argoproj.io/EventSource
apps.openshift.io/* build.openshift.io/* config.openshift.io/* console.openshift.io/* image.openshift.io/* oauth.openshift.io/* project.openshift.io/* quota.openshift.io/* route.openshift.io/* security.openshift.io/* template.openshift.io/* user.openshift.io/*
bitnami.com/* external-secrets.io/* generators.external-secrets.io/* secrets.hashicorp.com/*
cilium.io/* crd.projectcalico.org/* projectcalico.org/* policy.networking.k8s.io/* crd.antrea.io/* k8s.cni.cncf.io/*
configuration.konghq.com/* gateway.networking.k8s.io/* gateway.networking.x-k8s.io/* getambassador.io/* projectcontour.io/ContourConfiguration projectcontour.io/HTTPProxy projectcontour.io/TLSCertificateDelegation projectcontour.io/ExtensionService traefik.containo.us/* traefik.io/*
extensions.istio.io/* networking.istio.io/* security.istio.io/* telemetry.istio.io/* split.smi-spec.io/* linkerd.io/* policy.linkerd.io/*
keda.sh/* eventing.keda.sh/* autoscaling.k8s.io/* karpenter.sh/* karpenter.k8s.aws/* karpenter.azure.com/* leaderworkerset.x-k8s.io/* jobset.x-k8s.io/* kueue.x-k8s.io/* scheduling.volcano.sh/* batch.volcano.sh/* scheduling.x-k8s.io/*
kyverno.io/* policies.kyverno.io/* wgpolicyk8s.io/* templates.gatekeeper.sh/* constraints.gatekeeper.sh/* config.gatekeeper.sh/* mutations.gatekeeper.sh/* expansion.gatekeeper.sh/* match.gatekeeper.sh/* status.gatekeeper.sh/* externaldata.gatekeeper.sh/* policy.sigstore.dev/*
longhorn.io/* metallb.io/* secrets-store.csi.x-k8s.io/* volumesnapshot.external-storage.k8s.io/*
monitoring.coreos.com/AlertmanagerConfig monitoring.coreos.com/PodMonitor monitoring.coreos.com/Probe monitoring.coreos.com/PrometheusRule monitoring.coreos.com/ScrapeConfig monitoring.coreos.com/ServiceMonitor
operator.victoriametrics.com/VMRule operator.victoriametrics.com/VMServiceScrape operator.victoriametrics.com/VMPodScrape operator.victoriametrics.com/VMNodeScrape operator.victoriametrics.com/VMProbe operator.victoriametrics.com/VMStaticScrape operator.victoriametrics.com/VMScrapeConfig operator.victoriametrics.com/VMUser operator.victoriametrics.com/VMAlertmanagerConfig
grafana.integreatly.org/GrafanaAlertRuleGroup grafana.integreatly.org/GrafanaContactPoint grafana.integreatly.org/GrafanaDashboard grafana.integreatly.org/GrafanaDatasource grafana.integreatly.org/GrafanaFolder grafana.integreatly.org/GrafanaNotificationPolicy
image.toolkit.fluxcd.io/* notification.toolkit.fluxcd.io/* source.toolkit.fluxcd.io/* kustomize.toolkit.fluxcd.io/* kustomize.config.k8s.io/*
kafka.strimzi.io/KafkaTopic kafka.strimzi.io/KafkaUser kafka.strimzi.io/KafkaNodePool kafka.strimzi.io/KafkaConnector kafka.strimzi.io/KafkaRebalance core.strimzi.io/*
ceph.rook.io/CephBlockPool ceph.rook.io/CephClient ceph.rook.io/CephFilesystem ceph.rook.io/CephFilesystemSubVolumeGroup ceph.rook.io/CephBlockPoolRadosNamespace ceph.rook.io/CephObjectStore ceph.rook.io/CephObjectStoreUser ceph.rook.io/CephObjectRealm ceph.rook.io/CephObjectZone ceph.rook.io/CephObjectZoneGroup ceph.rook.io/CephBucketTopic ceph.rook.io/CephBucketNotification objectbucket.io/*
rabbitmq.com/Binding rabbitmq.com/Exchange rabbitmq.com/Permission rabbitmq.com/Policy rabbitmq.com/Queue rabbitmq.com/User rabbitmq.com/Vhost
serving.knative.dev/* eventing.knative.dev/* messaging.knative.dev/* sources.knative.dev/* flows.knative.dev/* networking.internal.knative.dev/* caching.internal.knative.dev/*
tekton.dev/* triggers.tekton.dev/* velero.io/* snapshot.kubevirt.io/* instancetype.kubevirt.io/* kubevirt.io/VirtualMachine kubevirt.io/VirtualMachineInstance
operators.coreos.com/OperatorGroup operators.coreos.com/ClusterServiceVersion packages.operators.coreos.com/* ray.io/* kubeflow.org/* app.k8s.io/* nvidia.com/* nfd.k8s-sigs.io/* apps.kruise.io/*
polardbx.aliyun.com/PolarDBXParameterTemplate polardbx.aliyun.com/PolarDBXParameter postgresql.cnpg.io/Backup postgresql.cnpg.io/ScheduledBackup postgresql.cnpg.io/Database postgresql.cnpg.io/ImageCatalog postgresql.cnpg.io/ClusterImageCatalog
core.oam.dev/* pkg.crossplane.io/Lock dashboard.tekton.dev/* externaldns.k8s.io/* helm.cattle.io/HelmChartConfig management.cattle.io/* fleet.cattle.io/* node.k0sproject.io/* cluster.x-k8s.io/* infrastructure.cluster.x-k8s.io/* bootstrap.cluster.x-k8s.io/* controlplane.cluster.x-k8s.io/*
controller-runtime.sigs.k8s.io/* scorecard.operatorframework.io/* kubeadm.k8s.io/* kubelet.config.k8s.io/* kubeproxy.config.k8s.io/* kubescheduler.config.k8s.io/* apiserver.config.k8s.io/* audit.k8s.io/* config.kubernetes.io/* kind.x-k8s.io/* client.authentication.k8s.io/*
`
  .trim()
  .split(/\s+/);

/** Groups of Kubernetes itself and of its own add-ons. */
export const KUBERNETES_GROUPS = new Set(
  (
    "apps autoscaling batch extensions policy admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io authentication.k8s.io " +
    "authorization.k8s.io certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io flowcontrol.apiserver.k8s.io " +
    "internal.apiserver.k8s.io metrics.k8s.io custom.metrics.k8s.io networking.k8s.io node.k8s.io rbac.authorization.k8s.io resource.k8s.io " +
    "scheduling.k8s.io settings.k8s.io snapshot.storage.k8s.io groupsnapshot.storage.k8s.io storage.k8s.io storagemigration.k8s.io"
  ).split(" "),
);
