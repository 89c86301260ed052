/** An entry of `manifests:` in the bundle spec. */
export interface ManifestsSpec {
  /** File, folder, pattern, URL, kustomization or chart folder, relative to the spec. */
  path: string;
  /** The name by which a cluster file asks for it. */
  as?: string;
  /** The login at an http(s) source. */
  user?: string;
  passwordEnv?: string;
  /** What no file names. */
  addImages?: string[];
  /** Patterns of finds to carry that would not be: possible ones, artifacts, what is switched off. */
  acceptImages?: string[];
  ignoreImages?: string[];
}
