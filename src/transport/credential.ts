/** How a registry knows its user: name and password, or a token to be exchanged (Docker's `identitytoken`). */
export type Credential = { username: string; password: string } | { identityToken: string };

/** Gives the credential for a repository, or undefined for anonymous access. */
export interface Credentials {
  for(host: string, repository?: string): Promise<Credential | undefined>;
}
