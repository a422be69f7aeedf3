/** The fields that one side of a connection has taught the other, newest first (RFC 7541 section 2.3.2). */
import type { Field } from "../field.ts";

/** Bytes of the table until anything else is agreed on (RFC 9113 section 6.5.2). */
export const initialTableSize = 4096;

/**
 * A ring of fields. Fields are numbered from 0 in the order of their insertion, and that number stays; their index is
 * counted from the newest, which is 0.
 */
export class DynamicTable {
  readonly #onEvict: ((field: Field, number: number) => void) | undefined;
  /** A power of two long, so that a mask takes a number to its slot; grows with the fields, not with the capacity. */
  #slots: (Field | undefined)[] = new Array(16).fill(undefined);
  #capacity: number;
  #size = 0;
  #length = 0;
  #inserted = 0;

  /**
   * @param capacity bytes that the fields may have together, each with its overhead (`Field.size`)
   * @param onEvict called with each field that goes, and its number
   */
  constructor(capacity: number, onEvict?: (field: Field, number: number) => void) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** A lower one lets the oldest fields go, at once. */
  set capacity(bytes: number) {
    this.#capacity = bytes;
    this.#evictDownTo(bytes);
  }

  /** Bytes in use. */
  get size(): number {
    return this.#size;
  }

  /** Fields in the table. */
  get length(): number {
    return this.#length;
  }

  /** Fields ever inserted, which is also the number of the next one. */
  get inserted(): number {
    return this.#inserted;
  }

  /** The field at an index, 0 for the newest; undefined where there is none. */
  at(index: number): Field | undefined {
    return index < this.#length ? this.#slots[(this.#inserted - 1 - index) & (this.#slots.length - 1)] : undefined;
  }

  /** Makes room for a field and inserts it. One that is larger than the table empties it and is left out (section 4.4). */
  insert(field: Field): void {
    const { size } = field;
    this.#evictDownTo(this.#capacity - size);
    if (size > this.#capacity) return;
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[this.#inserted++ & (this.#slots.length - 1)] = field;
    this.#length++;
    this.#size += size;
  }

  #evictDownTo(bytes: number): void {
    while (this.#size > bytes && this.#length > 0) {
      const number = this.#inserted - this.#length;
      const slot = number & (this.#slots.length - 1);
      const field = this.#slots[slot]!;
      this.#slots[slot] = undefined;
      this.#length--;
      this.#size -= field.size;
      this.#onEvict?.(field, number);
    }
  }

  #grow(): void {
    const slots = new Array<Field | undefined>(this.#slots.length * 2).fill(undefined);
    for (let index = 0; index < this.#length; index++) {
      slots[(this.#inserted - 1 - index) & (slots.length - 1)] = this.at(index);
    }
    this.#slots = slots;
  }
}
