import { Args } from "@oclif/core";
import { clusterSchema } from "../cluster/schema.ts";
import { BaseCommand } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { bundleSchema } from "../lock/spec.ts";
import type { JsonSchema } from "../schema/schema.ts";

const SCHEMAS: Record<string, { json(): JsonSchema }> = { bundle: bundleSchema, cluster: clusterSchema };

export default class Schema extends BaseCommand<JsonSchema> {
  static override summary = "Print the JSON Schema of the spec or the cluster file";
  static override examples = ["<%= config.bin %> schema bundle > bundle.schema.json"];
  static override args = {
    kind: Args.string({ description: "bundle or cluster", required: true, options: Object.keys(SCHEMAS) }),
  };

  async run(): Promise<JsonSchema> {
    const { args } = await this.parse(Schema);
    const schema = SCHEMAS[args.kind];
    if (schema === undefined) throw new AirgapError("usage", `There is no schema '${args.kind}'`);
    const json = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: `airgap ${args.kind}`,
      ...schema.json(),
    };
    this.report.document(JSON.stringify(json, undefined, 2));
    return json;
  }
}
