import { AirgapError } from "../errors.ts";

function variable(name: string, key: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== "") return value;
  throw new AirgapError("usage", `${key} names the variable ${name}, which is not set`, {
    suggestions: [`export ${name}=…`],
  });
}

/** The value of a variable that the cluster file names; undefined when it names none. @throws AirgapError `usage` */
export function fromEnvironment(name: string | undefined, key: string): string | undefined {
  return name === undefined ? undefined : variable(name, key);
}
