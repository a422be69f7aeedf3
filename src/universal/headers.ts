/** Header fields to the Fetch API's `Headers` and back. Values stay binary strings: `Headers` holds bytes too. */
import { Field, FieldKind } from "../http2/field.ts";
import { trimSpace } from "../wire/white-space.ts";

/**
 * Makes `Headers` of a response's fields or of trailers. Pseudo-fields and what concerns one hop only are left out. Where a name
 * comes more than once, `Headers` joins the values with a comma (Set-Cookie excepted).
 */
export function headersOf(fields: readonly Field[]): Headers {
  const headers = new Headers();
  for (const { kind, name, value } of fields) {
    if (kind === FieldKind.regular || kind === FieldKind.contentLength) headers.append(name, value);
  }
  return headers;
}

/** Makes fields of `Headers`, without what concerns one hop only and without Host, which is `:authority` here. */
export function fieldsOf(headers: Headers): Field[] {
  const named = namedByConnection(headers.get("connection"));
  const fields: Field[] = [];
  headers.forEach((value, name) => {
    const field = new Field(name, value);
    if (field.kind !== FieldKind.regular && field.kind !== FieldKind.contentLength) return;
    if (!named.includes(name)) fields.push(field);
  });
  return fields;
}

/** Names in a Connection header: these fields are for the next hop, as it is. */
function namedByConnection(value: string | null | undefined): string[] {
  if (value === null || value === undefined) return [];
  return value.split(",").map((name) => trimSpace(name).toLowerCase());
}
