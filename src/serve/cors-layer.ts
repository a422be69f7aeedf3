/** CORS layer: over a request's stream, for a response that says which pages may read it. */
import type { HttpStream } from "../http2/api.ts";
import { type Field, FieldKind, valueOf } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import { type Cors, isPreflight, withCors } from "./cors.ts";

class CorsLayer extends Layer {
  readonly #added: readonly Field[];

  constructor(added: readonly Field[]) {
    super();
    this.#added = added;
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    const isHead = fields[0]?.kind === FieldKind.status && !fields[0].value.startsWith("1");
    this.below.sendHeaders(isHead ? withCors(fields, this.#added) : fields, end);
  }
}

/**
 * Answers a preflight, of which nobody else hears.
 *
 * @returns the layer that the request's user has for its stream, or undefined where it has been answered
 */
export function corsLayer(cors: Cors, stream: HttpStream, fields: readonly Field[]): Layer | undefined {
  if (isPreflight(fields)) {
    stream.sendHeaders(cors.preflight(fields), true);
    return undefined;
  }
  const layer = new CorsLayer(cors.responseFields(valueOf(fields, "origin")));
  layer.below = stream;
  return layer;
}
