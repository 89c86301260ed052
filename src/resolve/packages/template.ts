/**
 * Media type of a text in which `@BASEURL@` stands for where the set is served from
 * (`http://register:5000`, `file:///srv`): whoever hands it out puts that in.
 */
export const TEMPLATE = "application/vnd.airgap.template.v1";

/** @param baseUrl without a slash at its end */
export function fillTemplate(text: string, baseUrl: string): string {
  return text.replaceAll("@BASEURL@", baseUrl);
}
