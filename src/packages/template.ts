/**
 * Media type of a text in which `@URL@` stands for where the set is
 * (`http://register:5000/packages/el9`, `file:///srv/el9`): whoever hands it out puts that in.
 */
export const TEMPLATE = "application/vnd.airgap.template.v1";

/** @param url of the set's root, without a slash at its end */
export function fillTemplate(text: string, url: string): string {
  return text.replaceAll("@URL@", url);
}
