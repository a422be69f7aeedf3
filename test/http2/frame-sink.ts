/** A sink that writes down what a receiver hands on. */
import { ConnectionError } from "../../src/http2/errors.ts";
import type { Field } from "../../src/http2/field.ts";
import { type FrameSink, Receiver } from "../../src/http2/receiver.ts";
import { defaultSettings, type Http2Settings } from "../../src/http2/settings.ts";
import type { Http2Stream } from "../../src/http2/stream.ts";

export class SinkRecorder implements FrameSink {
  readonly lines: string[] = [];
  partsSent = 0;
  /** Ids of streams whose DATA isn't wanted. */
  readonly unwanted = new Set<number>();
  /** The DATA frame whose bytes come now; they may come in any number of pieces. */
  #body = "";

  onDataFrame(id: number, length: number): Http2Stream | undefined {
    this.lines.push(`data frame ${id} of ${length}`);
    return this.unwanted.has(id) ? undefined : ({ id } as Http2Stream);
  }

  onDataBytes(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#body += Buffer.from(bytes.subarray(start, stop)).toString("hex");
    if (end) this.#take(`data ${stream.id} ${this.#body} end`);
  }

  onPadding(stream: Http2Stream, length: number): void {
    this.lines.push(`padding ${stream.id} of ${length}`);
  }

  onHeaderBlock(id: number, fields: Field[] | undefined, end: boolean): void {
    const text = fields?.map(({ name, value }) => `${name}=${value}`).join(" ") ?? "too large";
    this.#take(`block ${id} ${text}${end ? " end" : ""}`);
  }

  onReset(id: number, code: number): void {
    this.#take(`reset ${id} ${code}`);
  }

  onSettings(entries: readonly (readonly [number, number])[]): void {
    this.#take(`settings ${entries.map((entry) => entry.join("=")).join(" ")}`);
  }

  onSettingsAck(): void {
    this.#take("settings ack");
  }

  onPing(payload: Uint8Array): void {
    this.#take(`ping ${Buffer.from(payload).toString("latin1")}`);
  }

  onPingAck(payload: Uint8Array): void {
    this.#take(`ping ack ${Buffer.from(payload).toString("latin1")}`);
  }

  onGoaway(last: number, code: number): void {
    this.#take(`goaway ${last} ${code}`);
  }

  onWindowUpdate(id: number, increment: number): void {
    this.#take(`window ${id} ${increment}`);
  }

  /** A body that has no end yet is told with what comes behind it. */
  #take(line: string): void {
    if (this.#body !== "" && !line.startsWith("data ")) this.lines.push(`data ${this.#body}`);
    this.#body = "";
    this.lines.push(line);
  }
}

export interface Received {
  readonly lines: readonly string[];
  /** Code of the connection error that ended it. */
  readonly code: number | undefined;
}

/** What a server's receiver (or, without the preface, a client's) makes of chunks. */
export function receive(
  chunks: readonly Uint8Array[],
  { role = "server", ...settings }: Partial<Http2Settings> & { role?: "server" | "client" } = {},
): Received {
  const sink = new SinkRecorder();
  const receiver = new Receiver(sink, { ...defaultSettings, ...settings }, role === "server");
  try {
    for (const chunk of chunks) receiver.receive(Buffer.from(chunk));
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    return { lines: sink.lines, code: error.code };
  }
  return { lines: sink.lines, code: undefined };
}
