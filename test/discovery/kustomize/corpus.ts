/** Kustomizations that together use every field, each a folder `main` with what lies around it. */
export interface Case {
  name: string;
  files: Record<string, string>;
}

const web = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: 1
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      serviceAccountName: web
      initContainers: [{ name: init, image: "reg.site/init:1" }]
      containers:
      - name: web
        image: org/web:1.0
        args: [--port=$(PORT), --x]
        env: [{ name: A, value: a }, { name: B, valueFrom: { configMapKeyRef: { name: cm, key: k } } }]
        ports: [{ containerPort: 80, name: http }]
        volumeMounts: [{ name: data, mountPath: /data }]
      - { name: side, image: "reg.site:5000/side@sha256:${"a".repeat(64)}" }
      volumes: [{ name: data, configMap: { name: cm } }, { name: s, secret: { secretName: sec } }]
`;
const more = `apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: cm }
data: { k: v, url: "http://web.default:80/x", image: "org/web:1.0" }
---
apiVersion: v1
kind: Secret
metadata: { name: sec }
stringData: { a: b }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: web }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: reader }
rules: [{ apiGroups: [""], resources: [pods], verbs: [get] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader }
subjects: [{ kind: ServiceAccount, name: web, namespace: default }]
`;
const kinds = `apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: web
  selector: { matchLabels: { app: db } }
  template: { metadata: { labels: { app: db } }, spec: { containers: [{ name: db, image: "org/db:2" }] } }
  volumeClaimTemplates: [{ metadata: { name: data }, spec: { storageClassName: fast } }]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec: { selector: { matchLabels: { app: agent } }, template: { metadata: { labels: { app: agent } }, spec: { containers: [{ name: agent, image: "org/agent" }] } } }
---
apiVersion: batch/v1
kind: Job
metadata: { name: once }
spec: { template: { spec: { restartPolicy: Never, containers: [{ name: once, image: "org/job:1" }] } } }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly }
spec: { schedule: "0 0 * * *", jobTemplate: { spec: { template: { spec: { restartPolicy: Never, containers: [{ name: night, image: "org/job:1" }] } } } } }
---
apiVersion: v1
kind: Pod
metadata: { name: alone }
spec: { containers: [{ name: a, image: busybox }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: in }
spec: { ingressClassName: nginx, tls: [{ hosts: [a.site], secretName: sec }], rules: [{ host: a.site, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] } }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: np }
spec: { podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: db } } }] }] }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: pdb }
spec: { minAvailable: 1, selector: { matchLabels: { app: web } } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: hpa }
spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: web } }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: claim }
spec: { storageClassName: fast, volumeName: vol, accessModes: [ReadWriteOnce] }
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: fast }
provisioner: x.site/y
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: hook }
webhooks: [{ name: a.site, clientConfig: { service: { name: web, namespace: default } } }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: r, namespace: default }
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: r, namespace: default }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: r }
subjects: [{ kind: ServiceAccount, name: default, namespace: default }, { kind: User, name: web }]
`;
const custom = `apiVersion: x.site/v1
kind: Thing
metadata: { name: t }
spec: { cmRef: cm, image: "eng:1", list: [{ ref: "eng:1" }, { ref: "quay.io/k/eep:1" }], size: 1, template: { spec: { containers: [{ name: c, image: "eng:1" }] } } }
`;
const base = {
  "base/kustomization.yaml": "resources: [web.yaml, more.yaml]\n",
  "base/web.yaml": web,
  "base/more.yaml": more,
};
const on = (text: string): Record<string, string> => ({
  ...base,
  "main/kustomization.yaml": `resources: [../base]\n${text}`,
});
const all = (text: string): Record<string, string> => ({
  "main/kustomization.yaml": `resources: [web.yaml, more.yaml, kinds.yaml, custom.yaml]\n${text}`,
  "main/web.yaml": web,
  "main/more.yaml": more,
  "main/kinds.yaml": kinds,
  "main/custom.yaml": custom,
});
const alone = (text: string, files: Record<string, string> = {}): Record<string, string> => ({
  "main/kustomization.yaml": text,
  ...files,
});
const plainNames = "generatorOptions: { disableNameSuffixHash: true }\n";
const patch = (text: string): string => `patches:\n- patch: |-\n${text.replace(/^/gm, "    ")}\n`;
const configured = (text: string): Record<string, string> => ({
  "base/kustomization.yaml": "resources: [custom.yaml, more.yaml]\nconfigurations: [c.yaml]\n",
  "base/custom.yaml": custom,
  "base/more.yaml": more,
  "base/c.yaml":
    "images: [{ path: 'spec/list[]/ref', kind: Thing }, { path: spec/image, kind: Thing }]\nreplicas: [{ path: spec/size, kind: Thing }]\nnameReference: [{ kind: ConfigMap, fieldSpecs: [{ path: spec/cmRef, kind: Thing }] }]\ncommonAnnotations: [{ path: spec/notes, kind: Thing, create: true }]\ncommonLabels: [{ path: spec/labels, kind: Thing, create: true }]\nnamespace: [{ path: spec/ns, kind: Thing, create: true }]\nnamePrefix: [{ path: spec/cmPrefix, kind: Thing }]\n",
  "main/kustomization.yaml": `resources: [../base]\n${text}`,
});
const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\n";
const component = (text: string): string =>
  `apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n${text}`;

const SEVERAL = `${deployment}spec: { replicas: 4 }\n---\napiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { type: NodePort }\n`;

const CASES: Record<string, Record<string, string>> = {
  "resources of files and folders": on(""),
  "every kind, unchanged": all(""),
  "bases, the old name": { ...base, "main/kustomization.yaml": "bases: [../base]\n" },
  "kustomization.yml": { ...base, "main/kustomization.yml": "resources: [../base]\n" },
  Kustomization: {
    ...base,
    "main/Kustomization":
      "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nresources: [../base]\n",
  },
  "a List": alone("resources: [l.yaml]\n", {
    "main/l.yaml": `apiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { x: "1" } }\n- { apiVersion: v1, kind: ConfigMap, metadata: { name: b } }\n`,
  }),
  "JSON, and quoted text at its key's indentation": alone("resources: [a.json, b.yaml]\n", {
    "main/a.json": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"\\u00e9"}}',
    "main/b.yaml":
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n  k: \'{"a":"b",\n  "c": 1}\'\n---# c\n',
  }),
  namespace: all("namespace: other\n"),
  "namespace of a namespace in a base": on("namespace: deep\nnamePrefix: p-\n"),
  namePrefix: all("namePrefix: p-\n"),
  nameSuffix: all("nameSuffix: -s\n"),
  "prefix, suffix and namespace": all("namePrefix: p-\nnameSuffix: -s\nnamespace: other\n"),
  "prefixes over two levels": {
    ...on("namePrefix: b-\n"),
    "base/kustomization.yaml": "resources: [web.yaml, more.yaml]\nnamePrefix: a-\n",
  },
  commonLabels: all("commonLabels: { team: x, app: all }\n"),
  "labels without selectors": all("labels: [{ pairs: { team: x } }]\n"),
  "labels in selectors": all("labels: [{ pairs: { team: x }, includeSelectors: true }]\n"),
  "labels in templates": all(
    "labels: [{ pairs: { team: x }, includeTemplates: true }, { pairs: { num: '1' } }]\n",
  ),
  "labels in further fields": all(
    "labels: [{ pairs: { team: x }, fields: [{ path: spec/labels, kind: Thing, create: true }] }]\n",
  ),
  commonAnnotations: all("commonAnnotations: { note: x, num: '1' }\n"),
  "images by tag": on("images: [{ name: org/web, newTag: '2' }]\n"),
  "images by name and digest": on(
    `images: [{ name: org/web, newName: reg.site/web, digest: 'sha256:${"b".repeat(64)}' }, { name: "reg.site:5000/side", newTag: v1 }]\n`,
  ),
  "images, all that change": all(
    `images: [{ name: org/job, newName: j }, { name: busybox, newTag: '1' }, { name: org/agent, newName: reg.site/agent, newTag: v1, digest: 'sha256:${"b".repeat(64)}' }, { name: eng, newTag: '9' }]\n`,
  ),
  "images by a pattern": on(
    "images: [{ name: 'org/.*', newTag: '2' }, { name: 'reg.site/in..', newName: x }]\n",
  ),
  "images with an empty tag": on(
    "images: [{ name: org/web, newTag: '' }, { name: reg.site/init, newName: a/b }]\n",
  ),
  "images one after another": on("images: [{ name: org/web, newName: a/b }, { name: a/b, newTag: '7' }]\n"),
  replicas: all("replicas: [{ name: web, count: 3 }, { name: db, count: 2 }]\n"),
  "replicas after a prefix": on("namePrefix: p-\nreplicas: [{ name: web, count: 3 }]\n"),
  "a strategic patch": on(
    patch(
      `${deployment}spec: { template: { spec: { containers: [{ name: web, image: "x:1", env: [{ name: A, value: b }, { name: C, value: c }] }, { name: new, image: "n:1" }] } } }`,
    ),
  ),
  "a strategic patch that deletes and replaces": on(
    patch(
      `${deployment}spec:\n  template:\n    spec:\n      containers:\n      - { name: side, $patch: delete }\n      - name: web\n        ports: [{ containerPort: 81 }, { containerPort: 80, $patch: delete }]\n        volumeMounts: [{ $patch: replace }, { name: data, mountPath: /other }]\n      initContainers: null`,
    ),
  ),
  "a patch that deletes an object": on(
    patch("$patch: delete\napiVersion: v1\nkind: Service\nmetadata: { name: web }"),
  ),
  "a patch that replaces a mapping": on(
    patch(`${deployment}spec: { template: { metadata: { $patch: replace, labels: { x: z } } } }`),
  ),
  "a patch of a custom resource": all(
    patch(
      'apiVersion: x.site/v1\nkind: Thing\nmetadata: { name: t }\nspec: { list: [{ ref: "n:1" }], size: null, more: { a: [] } }',
    ),
  ),
  "a patch of several documents": { ...on("patches: [{ path: p.yaml }]\n"), "main/p.yaml": SEVERAL },
  "patches by target": all(
    "patches:\n- target: { kind: Deployment|StatefulSet, labelSelector: 'app=web' }\n  patch: |-\n    - { op: add, path: /spec/template/spec/containers/-, value: { name: n, image: 'n:1' } }\n- target: { group: apps, version: v1, kind: StatefulSet, name: d.* }\n  patch: |-\n    kind: X\n    metadata: { name: any, annotations: { a: b } }\n",
  ),
  "JSON patches, every operation": on(
    "patches:\n- target: { kind: Deployment }\n  patch: |-\n    - { op: replace, path: /spec/replicas, value: 5 }\n    - { op: test, path: /spec/replicas, value: 5 }\n    - { op: copy, from: /metadata/name, path: /metadata/labels/copy }\n    - { op: move, from: /spec/template/spec/initContainers, path: /spec/template/spec/ephemeralContainers }\n    - { op: remove, path: /spec/template/spec/volumes/0 }\n    - { op: add, path: /spec/template/spec/containers/0/args/1, value: --y }\n    - { op: add, path: '/metadata/labels/a~1b~0c', value: z }\n",
  ),
  "a JSON patch as JSON": on(
    `patches:\n- target: { kind: Service }\n  patch: '[{"op":"add","path":"/spec/type","value":"NodePort"}]'\n`,
  ),
  patchesStrategicMerge: on(
    `patchesStrategicMerge:\n- |-\n  ${deployment.replaceAll("\n", "\n  ")}spec: { replicas: 4 }\n`,
  ),
  patchesJson6902: on(
    "patchesJson6902:\n- target: { group: apps, version: v1, kind: Deployment, name: web }\n  patch: |-\n    - { op: replace, path: /spec/replicas, value: 4 }\n",
  ),
  "patches with a target's annotations": all(
    "patches:\n- target: { annotationSelector: 'none' }\n  patch: |-\n    - { op: add, path: /metadata/x, value: v }\n- target: { kind: Secret }\n  patch: |-\n    { kind: Secret, metadata: { name: renamed }, stringData: { c: d } }\n  options: { allowNameChange: true }\n",
  ),
  configMapGenerator: alone(
    `${plainNames}configMapGenerator:\n- name: a\n  namespace: ns\n  literals: [x=1, "y='quoted'", 'z="q"', w=a=b]\n  files: [f.txt, key=f.txt]\n  envs: [e.env]\n`,
    { "main/f.txt": "one\ntwo\n", "main/e.env": "# c\nA=1\nB=two words\n\nC=\n" },
  ),
  secretGenerator: alone(
    `${plainNames}secretGenerator:\n- { name: a, literals: [x=1], type: kubernetes.io/tls }\n- { name: b, files: [f.txt], env: e.env }\n`,
    { "main/f.txt": "one", "main/e.env": "A=1\n" },
  ),
  "generators with options": alone(
    "generatorOptions: { disableNameSuffixHash: true, labels: { a: b }, annotations: { c: d }, immutable: true }\nconfigMapGenerator:\n- { name: a, literals: [x=1] }\n- { name: b, literals: [x=1], options: { labels: { own: v }, annotations: { e: f } } }\nsecretGenerator: [{ name: s, literals: [x=1] }]\n",
  ),
  "generators that merge and replace": {
    "base/kustomization.yaml": `${plainNames}configMapGenerator: [{ name: a, literals: [x=1, y=2] }, { name: b, literals: [x=1, y=2] }]\nsecretGenerator: [{ name: s, literals: [x=1] }]\n`,
    "main/kustomization.yaml": `${plainNames}resources: [../base]\nnamePrefix: p-\nconfigMapGenerator: [{ name: a, behavior: merge, literals: [y=3, z=4] }, { name: b, behavior: replace, literals: [q=1] }]\nsecretGenerator: [{ name: s, behavior: merge, literals: [y=2] }]\n`,
  },
  "a generated name that is used": alone(
    `${plainNames}namePrefix: p-\nresources: [web.yaml]\nconfigMapGenerator: [{ name: cm, literals: [k=v] }]\nsecretGenerator: [{ name: sec, literals: [k=v] }]\n`,
    { "main/web.yaml": web },
  ),
  "binary files": alone(`${plainNames}configMapGenerator: [{ name: a, files: [f.bin] }]\n`, {
    "main/f.bin": "\u0000\u0001plain",
  }),
  components: {
    ...on("components: [../comp]\nnamePrefix: p-\n"),
    "comp/kustomization.yaml": component(
      `namePrefix: c-\n${patch(`${deployment}spec: { replicas: 9 }`)}images: [{ name: org/web, newTag: c }]\n`,
    ),
  },
  "components that add": {
    ...on("components: [../a, ../b]\n"),
    "a/kustomization.yaml": component("resources: [x.yaml]\n"),
    "a/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n",
    "b/kustomization.yaml": component(
      `${plainNames}configMapGenerator: [{ name: x, behavior: merge, literals: [b=1] }]\n`,
    ),
  },
  "components and generators": {
    ...on(`components: [../comp]\n${plainNames}configMapGenerator: [{ name: own, literals: [a=1] }]\n`),
    "comp/kustomization.yaml": component(
      "patches:\n- target: { kind: ConfigMap }\n  patch: |-\n    - { op: add, path: /metadata/annotations, value: { by: comp } }\n",
    ),
  },
  replacements: on(
    "replacements:\n- source: { kind: Service, name: web, fieldPath: metadata.name }\n  targets:\n  - select: { kind: Deployment }\n    fieldPaths: ['spec.template.spec.containers.[name=web].env.[name=A].value']\n  - select: { kind: ConfigMap }\n    fieldPaths: [data.url]\n    options: { delimiter: '/', index: 2 }\n",
  ),
  "replacements that create, reject and cut": on(
    "replacements:\n- source: { kind: ConfigMap, name: cm, fieldPath: data.image, options: { delimiter: ':', index: 0 } }\n  targets:\n  - select: { kind: Deployment, name: web }\n    fieldPaths: ['metadata.annotations.x\\.site/tag', spec.template.spec.containers.0.image]\n    options: { create: true }\n  - select: { version: v1 }\n    reject: [{ kind: ConfigMap }, { kind: ServiceAccount }, { kind: Deployment }, { kind: ClusterRole }, { kind: ClusterRoleBinding }]\n    fieldPaths: [metadata.labels.tag]\n    options: { create: true }\n",
  ),
  "replacements of whole values": all(
    "replacements:\n- source: { kind: StatefulSet, fieldPath: spec.selector }\n  targets:\n  - select: { kind: Thing }\n    fieldPaths: [spec.copied]\n    options: { create: true }\n- source: { kind: Deployment, fieldPath: 'spec.template.spec.containers.[name=web].image' }\n  targets: [{ select: { kind: Thing }, fieldPaths: ['spec.list.*.ref'] }]\n",
  ),
  "replacements in a file": {
    ...on("replacements: [{ path: r.yaml }]\n"),
    "main/r.yaml":
      "source: { kind: Service, fieldPath: spec.ports.0.port }\ntargets: [{ select: { kind: Deployment }, fieldPaths: [spec.replicas] }]\n",
  },
  "replacements after a prefix": on(
    "namePrefix: p-\nreplacements:\n- source: { kind: Service, name: web }\n  targets: [{ select: { kind: ConfigMap, name: cm }, fieldPaths: [data.k] }]\n",
  ),
  vars: on(
    "namePrefix: p-\nvars:\n- { name: PORT, objref: { apiVersion: v1, kind: Service, name: web }, fieldref: { fieldpath: spec.ports.0.port } }\n- { name: NAME, objref: { apiVersion: v1, kind: Service, name: web } }\n",
  ),
  "configurations of a base: images, replicas, references": configured(
    "namePrefix: p-\nimages: [{ name: eng, newName: quay.io/new/eng, newTag: '2' }]\nreplicas: [{ name: t, count: 3 }]\n",
  ),
  "configurations of a base: labels, annotations, namespace": configured(
    "namespace: other\ncommonLabels: { a: b }\ncommonAnnotations: { c: d }\n",
  ),
  "configurations two levels up": {
    ...configured("namePrefix: p-\n"),
    "top/kustomization.yaml": "resources: [../main]\nimages: [{ name: eng, newTag: '3' }]\n",
    "main/x": "",
  },
  "configurations of a component": {
    ...on("components: [../comp]\nresources: [custom.yaml]\nimages: [{ name: eng, newTag: '7' }]\n"),
    "main/kustomization.yaml":
      "resources: [../base, custom.yaml]\ncomponents: [../comp]\nimages: [{ name: eng, newTag: '7' }]\n",
    "main/custom.yaml": custom,
    "comp/kustomization.yaml": component("configurations: [c.yaml]\n"),
    "comp/c.yaml": "images: [{ path: spec/image, kind: Thing }]\n",
  },
  "configurations of its own": {
    ...all(
      "configurations: [c.yaml]\nimages: [{ name: eng, newTag: '7' }]\nnamePrefix: p-\nvars: [{ name: V, objref: { apiVersion: v1, kind: Service, name: web } }]\n",
    ),
    "main/c.yaml":
      "images: [{ path: spec/image, kind: Thing }]\nvarReference: [{ path: spec/cmRef, kind: Thing }]\n",
  },
  definitions: {
    ...alone("resources: [crd.yaml]\nnamePrefix: p-\nnamespace: ns\ncommonLabels: { a: b }\n"),
    "main/crd.yaml":
      "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: things.x.site }\nspec: { group: x.site, names: { kind: Thing, plural: things }, scope: Namespaced, versions: [] }\n",
  },
  "sort, metadata and other fields that change no content": on(
    "sortOptions: { order: legacy }\nmetadata: { name: any }\n",
  ),
  "aliases and merged keys": alone("resources: [a.yaml]\nnamePrefix: p-\n", {
    "main/a.yaml":
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, labels: &l { x: v } }\ndata: { <<: *l, z: w }\n",
  }),
  "values that look like others": alone(
    "resources: [a.yaml]\ncommonAnnotations: { truth: 'true', octal: '010', e: '1e3' }\n",
    {
      "main/a.yaml":
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { a: 'on', b: \"0x10\", c: '~', d: '', e: 'null', f: ' x ', g: \"a\\tb\", h: '1_000' }\n",
    },
  ),
  "namespaces of their own": all(
    "patches:\n- target: { kind: RoleBinding }\n  patch: |-\n    - { op: add, path: /subjects/-, value: { kind: ServiceAccount, name: web, namespace: elsewhere } }\nnamespace: other\n",
  ),
  "transformers of kustomize's own": {
    ...on("transformers: [t.yaml, more.yaml]\n"),
    "main/t.yaml":
      "apiVersion: builtin\nkind: LabelTransformer\nmetadata: { name: l }\nlabels: { a: b }\nfieldSpecs: [{ path: metadata/labels, create: true }, { path: spec/template/metadata/labels, kind: Deployment }]\n---\napiVersion: builtin\nkind: AnnotationsTransformer\nmetadata: { name: a }\nannotations: { c: d }\nfieldSpecs: [{ path: metadata/annotations, create: true }]\n---\napiVersion: builtin\nkind: ImageTagTransformer\nmetadata: { name: i }\nimageTag: { name: org/web, newTag: v9 }\n",
    "main/more.yaml":
      'apiVersion: builtin\nkind: PatchTransformer\nmetadata: { name: p }\ntarget: { kind: Service }\npatch: \'[{ "op": "add", "path": "/spec/type", "value": "NodePort" }]\'\n---\napiVersion: builtin\nkind: NamespaceTransformer\nmetadata: { name: n, namespace: other }\nfieldSpecs: [{ path: metadata/namespace, create: true }]\n',
  },
  "two of one name in two namespaces": alone(
    "resources: [a.yaml]\nnameSuffix: -s\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: { name: a, namespace: two }\n    data: { x: v }\n",
    {
      "main/a.yaml":
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, namespace: one }\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, namespace: two }\n",
    },
  ),
};
export const CORPUS: Case[] = Object.entries(CASES).map(([name, files]) => ({ name, files }));
