/** One stream of the hand-made peer: what came on it, and what the test sends on it. */
import { Flag, FrameType, frame, resetFrame, Setting } from "./frames.js";
export class PeerStream {
    peer;
    id;
    /** The request's fields, or the response's; empty until they came. Interim responses are in `interim`. */
    headers = [];
    trailers;
    interim = [];
    chunks = [];
    bytes = 0;
    /** END_STREAM came. */
    ended = false;
    /** END_STREAM came on the first header block: a Trailers-Only response. */
    endedByHeaders = false;
    /** The code of the RST_STREAM that came. */
    reset;
    /** `performance.now()` of that. */
    resetAt = 0;
    /** The connection closed before the stream ended. */
    cut = false;
    /** Bytes the other side still takes on this stream. */
    window;
    /** Settled once nothing more comes: ended, reset or cut. */
    finished;
    onMore;
    #finish;
    #queue = [];
    #queued = 0;
    #endQueued = false;
    /** This side has sent its last frame. */
    #over = false;
    constructor(peer, id) {
        this.peer = peer;
        this.id = id;
        this.window = peer.settings.get(Setting.initialWindowSize) ?? 65_535;
        this.finished = new Promise((resolve) => {
            this.#finish = resolve;
        });
    }
    /** The first value of a header or trailer. */
    field(name, from = "headers") {
        return this[from]?.find(([known]) => known === name)?.[1];
    }
    get done() {
        return this.ended || this.reset !== undefined || this.cut;
    }
    /** Bytes that wait for the other side's window. */
    get queued() {
        return this.#queued;
    }
    sendHeaders(fields, { end = false } = {}) {
        this.peer.sendBlock(this.id, fields, end);
        if (end)
            this.#leave();
    }
    /** DATA as the windows allow; what they don't allow waits. */
    sendData(bytes, { end = false } = {}) {
        this.#queue.push(bytes);
        this.#queued += bytes.length;
        if (end)
            this.#endQueued = true;
        this.flush();
    }
    /** The last header block, after all DATA that waits. */
    sendTrailers(fields) {
        this.#endQueued = fields;
        this.flush();
    }
    sendReset(code) {
        this.peer.send(resetFrame(this.id, code));
        this.#queue = [];
        this.#queued = 0;
        this.#leave();
        this.peer.streams.delete(this.id);
    }
    flush() {
        if (this.#over || this.reset !== undefined)
            return;
        const out = [];
        let head = this.#queue[0];
        while (head !== undefined && (head.length === 0 || Math.min(this.window, this.peer.window) > 0)) {
            const size = Math.min(head.length, this.window, this.peer.window, 16_384);
            this.window -= size;
            this.peer.window -= size;
            this.#queued -= size;
            if (size === head.length)
                this.#queue.shift();
            else
                this.#queue[0] = head.subarray(size);
            const last = this.#queue.length === 0 && this.#endQueued === true;
            out.push(frame(FrameType.data, last ? Flag.endStream : 0, this.id, head.subarray(0, size)));
            if (last)
                this.#leave();
            head = this.#queue[0];
        }
        if (out.length > 0)
            this.peer.send(...out);
        if (head !== undefined)
            this.peer.block(this);
        else if (typeof this.#endQueued === "object")
            this.sendHeaders(this.#endQueued, { end: true });
    }
    onFields(fields, end) {
        const interim = fields[0]?.[0] === ":status" && fields[0][1].startsWith("1");
        if (interim)
            this.interim.push(fields);
        else if (this.headers.length === 0) {
            this.headers = fields;
            this.endedByHeaders = end;
        }
        else
            this.trailers = fields;
        this.#came(end);
    }
    onData(chunk, end) {
        if (chunk.length > 0)
            this.chunks.push(Buffer.from(chunk));
        this.bytes += chunk.length;
        this.#came(end);
    }
    onReset(code) {
        this.reset = code;
        this.resetAt = performance.now();
        this.peer.streams.delete(this.id);
        this.#finish();
        this.onMore?.();
    }
    lost() {
        if (this.done)
            return;
        this.cut = true;
        this.#finish();
        this.onMore?.();
    }
    #came(end) {
        if (end) {
            this.ended = true;
            if (this.#over)
                this.peer.streams.delete(this.id);
            this.#finish();
        }
        this.onMore?.();
    }
    #leave() {
        this.#over = true;
        if (this.ended)
            this.peer.streams.delete(this.id);
    }
}
