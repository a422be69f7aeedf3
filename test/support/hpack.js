/**
 * HPACK for the tests (RFC 7541): an encoder that writes literals only, and a decoder that shares no code with the one
 * under test.
 */
/** A header block of literals without indexing and without Huffman codes. Names and values are not checked. */
export function encodeBlock(fields) {
    return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}
/**
 * One literal field.
 *
 * @param representation the first byte: 0x00 without indexing (the default), 0x40 with, 0x10 never indexed
 */
export function literal(name, value, representation = 0x00) {
    return Buffer.concat([Buffer.from([representation]), text(name), text(value)]);
}
/** An integer with a prefix of so many bits (section 5.1), the bits above it given by `first`. */
export function integer(value, prefixBits, first = 0) {
    const limit = 2 ** prefixBits - 1;
    if (value < limit)
        return Buffer.from([first | value]);
    const bytes = [first | limit];
    let rest = value - limit;
    for (; rest >= 128; rest = Math.floor(rest / 128))
        bytes.push((rest % 128) | 0x80);
    bytes.push(rest);
    return Buffer.from(bytes);
}
function text(value) {
    const bytes = Buffer.from(value, "latin1");
    return Buffer.concat([integer(bytes.length, 7), bytes]);
}
/** Decodes the header blocks of one direction of a connection, in order. */
export class HpackDecoder {
    #table = [];
    #size = 0;
    #limit = 4096;
    #bytes = Buffer.alloc(0);
    #at = 0;
    /** @throws Error for an index that isn't there, or a code that isn't one */
    decode(block) {
        this.#bytes = block;
        this.#at = 0;
        const fields = [];
        while (this.#at < block.length) {
            const first = block[this.#at];
            if (first & 0x80) {
                fields.push(this.#indexed(this.#integer(7)));
            }
            else if (first & 0x40) {
                const field = this.#literal(6);
                this.#remember(field);
                fields.push(field);
            }
            else if (first & 0x20) {
                this.#limit = this.#integer(5);
                this.#evict();
            }
            else {
                fields.push(this.#literal(4));
            }
        }
        return fields;
    }
    #literal(prefixBits) {
        const index = this.#integer(prefixBits);
        const name = index === 0 ? this.#text() : this.#indexed(index)[0];
        return [name, this.#text()];
    }
    #indexed(index) {
        const field = index <= staticTable.length ? staticTable[index - 1] : this.#table[index - 1 - staticTable.length];
        if (field === undefined)
            throw new Error(`no entry ${index} in a table of ${this.#table.length}`);
        return field;
    }
    #integer(prefixBits) {
        const limit = 2 ** prefixBits - 1;
        let value = this.#bytes[this.#at++] & limit;
        if (value < limit)
            return value;
        for (let scale = 1;; scale *= 128) {
            const byte = this.#bytes[this.#at++];
            value += (byte & 0x7f) * scale;
            if (byte < 128)
                return value;
        }
    }
    #text() {
        const coded = (this.#bytes[this.#at] & 0x80) !== 0;
        const length = this.#integer(7);
        const bytes = this.#bytes.subarray(this.#at, this.#at + length);
        this.#at += length;
        return coded ? decodeHuffman(bytes) : bytes.toString("latin1");
    }
    #remember(field) {
        this.#table.unshift(field);
        this.#size += field[0].length + field[1].length + 32;
        this.#evict();
    }
    #evict() {
        while (this.#size > this.#limit) {
            const [name, value] = this.#table.pop();
            this.#size -= name.length + value.length + 32;
        }
    }
}
/** Appendix B's code lengths, one base-36 digit a symbol: the code is canonical, so the lengths are all of it. */
const codeLengths = "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f565" +
    "65666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmp" +
    "qqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq";
/** For each length the first code and the symbols in order. */
const codes = canonicalCodes();
function canonicalCodes() {
    const byLength = [];
    let code = 0;
    for (let length = 0; length <= 30; length++) {
        const symbols = [...codeLengths].flatMap((digit, symbol) => Number.parseInt(digit, 36) === length ? [symbol] : []);
        byLength.push({ first: code, symbols });
        code = (code + symbols.length) * 2;
    }
    return byLength;
}
function decodeHuffman(bytes) {
    let value = "";
    let code = 0;
    let length = 0;
    for (const byte of bytes) {
        for (let bit = 7; bit >= 0; bit--) {
            code = code * 2 + ((byte >> bit) & 1);
            const { first, symbols } = codes[++length];
            const symbol = symbols[code - first];
            if (code < first || symbol === undefined)
                continue;
            value += String.fromCharCode(symbol);
            code = 0;
            length = 0;
        }
    }
    if (length > 7 || code !== 2 ** length - 1)
        throw new Error("huffman padding is not the start of EOS");
    return value;
}
/** Appendix A, one entry a line. */
const staticTable = `
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
`
    .trim()
    .split("\n")
    .map((line) => {
    const [name = "", value = ""] = line.split(/ (.*)/);
    return [name, value];
});
