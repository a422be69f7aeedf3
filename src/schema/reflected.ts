/** A schema that an upstream was asked for: kept, asked for again where it seems old, and never twice at a time. */
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { linkWhatCanBe } from "./files.ts";
import { fetchFiles, type ReflectionCall } from "./reflection.ts";
import { type MethodSchema, methodsOf, type Schema } from "./schema.ts";

export interface ReflectedSchemaOptions {
  /**
   * Milliseconds from one answer to the next question, whatever calls come. Default 5,000: methods that don't exist can be asked for
   * a thousand times a second.
   */
  readonly minIntervalMs?: number;
  /** The same while no schema is there at all, as when the upstream starts later than we do. Default 1,000. */
  readonly retryMs?: number;
  /** Milliseconds after which the next call has it asked for again, without waiting for it. Default 300,000: fields come and go. */
  readonly maxAgeMs?: number;
  /** Told of a refresh that failed while the schema from before is still there. */
  readonly onStale?: (error: ConnectError) => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** A schema by reflection. Nothing is asked before the first call that needs it. */
export class ReflectedSchema implements Schema {
  readonly #call: ReflectionCall;
  readonly #options: Required<ReflectedSchemaOptions>;
  #methods: ReadonlyMap<string, MethodSchema> | undefined;
  #error: ConnectError | undefined;
  /** When the last answer came, or the last failure. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(call: ReflectionCall, options: ReflectedSchemaOptions = {}) {
    this.#call = call;
    this.#options = {
      minIntervalMs: options.minIntervalMs ?? 5_000,
      retryMs: options.retryMs ?? 1_000,
      maxAgeMs: options.maxAgeMs ?? 300_000,
      onStale: options.onStale ?? (() => {}),
      now: options.now ?? (() => performance.now()),
    };
  }

  method(path: string): MethodSchema | undefined | Promise<MethodSchema | undefined> {
    const known = this.#methods?.get(path);
    const age = this.#options.now() - this.#askedAt;
    if (known !== undefined) {
      if (age >= this.#options.maxAgeMs) void this.#ask();
      return known;
    }
    const interval = this.#methods === undefined ? this.#options.retryMs : this.#options.minIntervalMs;
    if (this.#asking === undefined && age < interval) {
      return this.#methods === undefined ? Promise.reject(this.#error!) : undefined;
    }
    return this.#ask().then(() => {
      if (this.#methods === undefined) throw this.#error!;
      return this.#methods.get(path);
    });
  }

  /** Joins the question that is under way, if there is one. Never rejects. */
  #ask(): Promise<void> {
    this.#asking ??= this.#refresh().finally(() => {
      this.#asking = undefined;
      this.#askedAt = this.#options.now();
    });
    return this.#asking;
  }

  async #refresh(): Promise<void> {
    try {
      this.#methods = methodsOf(link(await fetchFiles(this.#call)));
      this.#error = undefined;
    } catch (reason) {
      this.#error = describe(ConnectError.from(reason));
      if (this.#methods !== undefined) this.#options.onStale(this.#error);
    }
  }
}

function link(files: ReadonlyMap<string, FileDescriptorProto>) {
  try {
    return linkWhatCanBe(files);
  } catch (error) {
    throw new ConnectError("upstream's descriptors don't fit together", Code.Internal, undefined, undefined, error);
  }
}

/** `unimplemented` says all; any other is the cause of the call's failure, and no answer to it. */
function describe(error: ConnectError): ConnectError {
  if (error.code === Code.Unimplemented || error.code === Code.Internal) return error;
  const hint = error.code === Code.Unknown ? '; give "schema: { image: FILE }" instead' : ""; // another server's answer
  return new ConnectError(
    `schema of the upstream can't be had by reflection: ${error.rawMessage}${hint}`,
    error.code,
    undefined,
    undefined,
    error,
  );
}
