import { readFileSync } from "node:fs";
import { Ajv, type ValidateFunction } from "ajv";

/** The official schema, as CycloneDX's own library ships it. */
export function cyclonedxSchema(): ValidateFunction {
  const folder = new URL("../../node_modules/@cyclonedx/cyclonedx-library/res/schema/", import.meta.url);
  const read = (name: string): object =>
    JSON.parse(readFileSync(new URL(`${name}.SNAPSHOT.schema.json`, folder), "utf8")) as object;
  const ajv = new Ajv({
    strict: false,
    formats: {
      "date-time": (value: string) => !Number.isNaN(Date.parse(value)),
      "iri-reference": (value: string) => !/[\s<>"{}|\\^`]/.test(value),
      "idn-email": true,
      email: true,
      uri: true,
      string: true,
    },
  });
  for (const name of ["spdx", "jsf-0.82", "cryptography-defs"])
    ajv.addSchema({ ...read(name), $id: `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json` });
  return ajv.compile(read("bom-1.6"));
}
