/** The schema of the configuration file as JSON Schema, which editors read. */
import { z } from "zod";
import { config } from "./schema.ts";

/** Draft 7: the one that the YAML language server, and with it most editors, knows in full. */
export function jsonSchema(schema: z.ZodType = config) {
  return z.toJSONSchema(schema, { io: "input", target: "draft-7" });
}
