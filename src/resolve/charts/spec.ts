/** An entry of `charts:` in the bundle spec. */
export interface ChartSpec {
  /** Folder, `.tgz`, `oci://…`, URL, or with `repo` a name in that repository. */
  chart: string;
  /** URL of a chart repository. */
  repo?: string;
  /** The name by which a cluster file asks for it. */
  as?: string;
  /** A version, or a range as Helm takes it. */
  version?: string;
  /** Paths or URLs of values files, relative to the spec; later ones win. */
  values?: string[];
  /** `key.path=value`, as for `helm --set`. */
  set?: string[];
  namespace?: string;
  /** The login at an http(s) source. */
  user?: string;
  passwordEnv?: string;
  addImages?: string[];
  acceptImages?: string[];
  ignoreImages?: string[];
}
