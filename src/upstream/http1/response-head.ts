/** Response head: a status line and its header section, together (RFC 9112 sections 4, 6 and 9). */
import { type FieldLine, Role } from "../../http1/field-line.ts";
import { Field } from "../../http2/field.ts";

/** A response that can't be read, or could be read two ways. */
export class ResponseError extends Error {
  override readonly name = "ResponseError";
}

export interface ResponseHead {
  /** As on HTTP/2: `:status`, then the others in their order, without those that are for this connection alone. */
  readonly fields: Field[];
  readonly status: number;
  /** Bytes of body that will come; -1 where the header doesn't say. */
  readonly contentLength: number;
  readonly isChunked: boolean;
  /** No other request can be sent behind it. */
  readonly close: boolean;
  /** Milliseconds for which the server keeps the connection without a request, where it says. */
  readonly keepAliveMs: number | undefined;
}

/** Section 4. The phrase is whatever it is; some servers leave it out together with the space. */
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t -~\x80-\xff]*)?$/;

const statusFields = new Map<string, Field>();

/** Collects the lines of one response after another. */
export class ResponseHeadBuilder {
  #status = 0;
  #isHttp10 = false;
  #fields: Field[] = [];
  #contentLength = -1;
  #isChunked = false;
  #keepAliveMs: number | undefined;
  #options: readonly string[] = [];

  /** @throws ResponseError if the line isn't one */
  begin(line: string): void {
    const match = statusLine.exec(line);
    if (match === null) throw new ResponseError("invalid status line");
    const [, minor, status = ""] = match;
    let field = statusFields.get(status);
    if (field === undefined) {
      field = new Field(":status", status);
      statusFields.set(status, field); // 900 at most
    }
    this.#status = Number(status);
    this.#isHttp10 = minor === "0";
    this.#fields = [field];
    this.#contentLength = -1;
    this.#isChunked = false;
    this.#keepAliveMs = undefined;
    this.#options = [];
  }

  /** @throws ResponseError where the line contradicts one before it */
  add({ role, field, number, options }: FieldLine): void {
    switch (role) {
      case Role.regular:
        this.#fields.push(field);
        return;
      case Role.contentLength:
        if (this.#contentLength >= 0) throw new ResponseError("two Content-Length fields");
        this.#contentLength = number;
        this.#fields.push(field);
        return;
      case Role.transferEncoding:
        if (this.#isChunked) throw new ResponseError("two Transfer-Encoding fields");
        this.#isChunked = true;
        return;
      case Role.connection:
        this.#options = [...this.#options, ...options];
        return;
      default:
        if (field.name === "keep-alive") this.#keepAliveMs = parseKeepAlive(field.value);
    }
  }

  /** @throws ResponseError where the response could be read two ways, or isn't one to a request of ours */
  finish(): ResponseHead {
    if (this.#isChunked && (this.#contentLength >= 0 || this.#isHttp10)) {
      throw new ResponseError("Transfer-Encoding with Content-Length or on HTTP/1.0"); // sections 6.1 and 6.3
    }
    if (this.#status === 101) throw new ResponseError("protocol switched unasked");
    const options = this.#options;
    const isFramed = this.#isChunked || this.#contentLength >= 0 || this.#status === 204 || this.#status === 304;
    const persists = isFramed && !options.includes("close") && (!this.#isHttp10 || options.includes("keep-alive"));
    return {
      fields: options.length === 0 ? this.#fields : this.#fields.filter(({ name }) => !options.includes(name)),
      status: this.#status,
      contentLength: this.#contentLength,
      isChunked: this.#isChunked,
      close: !persists,
      keepAliveMs: this.#keepAliveMs,
    };
  }
}

/** "timeout=5, max=100" */
function parseKeepAlive(value: string): number | undefined {
  const seconds = /(?:^|[,; \t])timeout=(\d{1,6})/i.exec(value)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}
