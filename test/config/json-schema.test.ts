import { expect, it } from "vitest";
import { jsonSchema } from "../../src/config/json-schema.ts";

it("schema/manifold.schema.json is what the schema says: `npm run generate` writes it anew", async () => {
  await expect(`${JSON.stringify(jsonSchema(), null, 2)}\n`).toMatchFileSnapshot("../../schema/manifold.schema.json");
});

it("says of every key what it is for", () => {
  const undescribed: string[] = [];
  const visit = (schema: Record<string, unknown>, path: string) => {
    for (const [key, value] of Object.entries((schema.properties as object | undefined) ?? {})) {
      if (typeof value.description !== "string") undescribed.push(`${path}.${key}`);
      visit(value, `${path}.${key}`);
    }
    for (const below of [schema.items, schema.additionalProperties, ...((schema.anyOf as unknown[]) ?? [])]) {
      if (typeof below === "object" && below !== null) visit(below as Record<string, unknown>, path);
    }
  };
  visit(jsonSchema(), "");
  expect(undescribed).toEqual([]);
});
