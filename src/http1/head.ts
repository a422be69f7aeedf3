/** Head: a request line and its header section, together, as the request that they make (RFC 9112 sections 3.2, 6 and 9). */
import { Field } from "../http2/field.ts";
import { type FieldLine, Role } from "./field-line.ts";
import { badRequest, RequestError } from "./request-error.ts";
import type { RequestLine } from "./request-line.ts";

export interface RequestHead {
  /** As on HTTP/2: pseudo-header fields, then the others in their order, without those that are for this connection alone. */
  readonly fields: Field[];
  /** Bytes of body that will come; -1 for a chunked one. */
  readonly contentLength: number;
  readonly isHead: boolean;
  readonly isHttp10: boolean;
  /** The peer sends nothing more on this connection, or can't be told where a response ends. */
  readonly close: boolean;
  /** The peer waits with its body until it is asked for it (RFC 9110 section 10.1.1). */
  readonly expectsContinue: boolean;
}

const schemes = { http: new Field(":scheme", "http"), https: new Field(":scheme", "https") };

/** Takes the place of `:authority` until Host comes. */
const noAuthority = new Field(":authority", "");

/** Collects the lines of one request after another. */
export class HeadBuilder {
  readonly #scheme: Field;
  readonly #secure: boolean;
  #line!: RequestLine;
  #fields: Field[] = [];
  #host: Field | undefined;
  #contentLength = -1;
  #chunked = false;
  #expectsContinue = false;
  #options: string[] | undefined;

  /** @param secure the connection is TLS */
  constructor(secure: boolean) {
    this.#secure = secure;
    this.#scheme = secure ? schemes.https : schemes.http;
  }

  begin(line: RequestLine): void {
    this.#line = line;
    this.#fields = [line.method, this.#scheme, noAuthority, line.path];
    this.#host = undefined;
    this.#contentLength = -1;
    this.#chunked = false;
    this.#expectsContinue = false;
    this.#options = undefined;
  }

  /** @throws RequestError where the line contradicts one before it */
  add(line: FieldLine): void {
    const { field, role } = line;
    switch (role) {
      case Role.regular:
        this.#fields.push(field);
        return;
      case Role.host:
        if (this.#host !== undefined) throw badRequest("two Host fields");
        this.#host = field;
        return;
      case Role.contentLength:
        // section 6.3 lets equal ones pass; to nobody's use, and who comes behind us may read another of them
        if (this.#contentLength >= 0) throw badRequest("two Content-Length fields");
        this.#contentLength = line.number;
        this.#fields.push(field);
        return;
      case Role.transferEncoding:
        if (this.#chunked) throw badRequest("two Transfer-Encoding fields");
        this.#chunked = true;
        return;
      case Role.connection:
        this.#options = this.#options === undefined ? [...line.options] : [...this.#options, ...line.options];
        return;
      case Role.expect:
        this.#expectsContinue = true;
        return;
      default:
    }
  }

  /** @throws RequestError where the request could be read two ways, or isn't for us */
  finish(): RequestHead {
    const line = this.#line;
    const { isHttp10 } = line;
    if (this.#chunked && isHttp10) throw badRequest("Transfer-Encoding on HTTP/1.0"); // section 6.1
    if (this.#chunked && this.#contentLength >= 0) throw badRequest("Transfer-Encoding and Content-Length");
    this.#setAuthority();
    const options = this.#options ?? none;
    const contentLength = this.#chunked ? -1 : Math.max(this.#contentLength, 0);
    return {
      fields: this.#passedOn(options),
      contentLength,
      isHead: line.method.value === "HEAD",
      isHttp10,
      close: isHttp10 || options.includes("close"),
      expectsContinue: this.#expectsContinue && !isHttp10 && contentLength !== 0,
    };
  }

  /** Section 3.2.2: an absolute-form counts, Host must be there all the same. */
  #setAuthority(): void {
    const { absolute, isHttp10 } = this.#line;
    if (this.#host === undefined && !isHttp10) throw badRequest("no Host"); // section 3.2
    if (absolute !== undefined) {
      // RFC 9110 section 7.4
      if (absolute.scheme.value === "https" && !this.#secure)
        throw new RequestError(421, "https over an insecure connection");
      this.#fields[1] = absolute.scheme;
      this.#fields[2] = absolute.authority;
    } else if (this.#host === undefined || this.#host.value === "") {
      this.#fields.splice(2, 1);
    } else {
      this.#fields[2] = this.#host;
    }
  }

  /** Without the fields that Connection names (RFC 9110 section 7.6.1). Pseudo-header fields can't be named. */
  #passedOn(options: readonly string[]): Field[] {
    const fields = this.#fields;
    if (options.length === 0 || !fields.some(({ name }) => options.includes(name))) return fields;
    return fields.filter(({ name }) => !options.includes(name));
  }
}

const none: readonly string[] = [];
